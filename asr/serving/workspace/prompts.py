"""Prompts: a list of sentences to read, the take of each as WAV, and the manifest `prompts.jsonl`."""

import json
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from asr.corpus.manifest import to_row
from asr.errors import AsrError
from asr.files import read_text, to_json, whole_file, write_whole
from asr.serving.workspace.lock import locked
from asr.serving.workspace.paths import NotThereError, Workspace
from asr.serving.workspace.prompt_files import FOLDER, LIST, MANIFEST, take_of
from asr.serving.workspace.recordings import seconds_of
from asr.serving.workspace.take import judge_take
from asr.utterance import Utterance
from asr.writers.clean import writable

_MOST, _LONGEST = 100_000, 2000  # prompts, characters of one
_LINE = re.compile(r"([0-9]{1,9})\t(.+)")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A sentence to read; `duration` is that of its latest take in seconds."""

    number: int
    text: str
    recorded: bool = False
    duration: float | None = None


def read_prompts(workspace: Workspace) -> list[Prompt]:
    """Return the prompts in the order of their list. Raises AsrError that names a list which is damaged."""
    path = workspace.root / FOLDER / LIST
    prompts = []
    for number, line in enumerate(read_text(path).split("\n") if path.is_file() else (), start=1):
        if line.strip():
            match = _LINE.fullmatch(line.rstrip("\r"))
            if match is None:
                raise AsrError(f"{path}:{number}: is not a number, a tab and a text; correct the line")
            prompts.append(_with_take(workspace, Prompt(int(match[1]), match[2])))
    return prompts


def write_prompts(workspace: Workspace, text: str) -> list[Prompt]:
    """Replace the list of prompts by the lines of `text`, and return it; prompts with a take always stay.

    A line that was a prompt before keeps its number. Raises AsrError for too many lines, OutputError.
    """
    lines = list(dict.fromkeys(filter(None, (_one_line(line) for line in re.split(r"\r\n|\n|\r", text)))))
    if len(lines) > _MOST:
        raise AsrError(f"{len(lines)} prompts are more than {_MOST}; divide the list")
    if long := next((line for line in lines if len(line) > _LONGEST), None):
        raise AsrError(f"{long[:60]!r} …: a prompt has at most {_LONGEST} characters; divide it")
    with locked(workspace):
        before = read_prompts(workspace)
        known = {prompt.text: prompt for prompt in before}
        number = max([prompt.number for prompt in before] + list(_numbers_of_takes(workspace)), default=0)
        prompts = [prompt for prompt in before if prompt.recorded and prompt.text not in lines]
        for line in lines:
            if line not in known:
                number += 1
            prompts.append(known.get(line) or Prompt(number, line))
        content = "".join(f"{prompt.number}\t{prompt.text}\n" for prompt in prompts)
        write_whole(workspace.root / FOLDER / LIST, content.encode())
    return prompts


def record(workspace: Workspace, number: int, content: bytes, started: str) -> tuple[Prompt, list[str]]:
    """Keep a take of a prompt, which began at the time `started`; return the prompt and warnings in words.

    An older take is kept as NNNN.take1.wav. Raises NotThereError for a number without a prompt, AudioError for bytes
    that are no WAV file with sound, and OutputError; then the older take stays as it is.
    """
    path = take_of(workspace, number)
    draft = workspace.hidden("takes", f"{os.urandom(8).hex()}.wav")
    try:
        write_whole(draft, content)
        warnings = judge_take(draft, _prompt(workspace, number).text)
        with locked(workspace):
            prompt = _prompt(workspace, number)
            if path.is_file():
                _keep_older(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("rb") as source, whole_file(path) as file:
                shutil.copyfileobj(source, file)
            prompt = _with_take(workspace, prompt)
            _write_line(workspace, prompt, path, started)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
            draft.parent.rmdir()
    return prompt, warnings


def takes(workspace: Workspace) -> Iterator[Path]:
    """Yield the files of the latest takes."""
    yield from sorted(path for path in (workspace.root / FOLDER).glob("*.wav") if path.stem.isdigit())


def _prompt(workspace: Workspace, number: int) -> Prompt:
    for prompt in read_prompts(workspace):
        if prompt.number == number:
            return prompt
    raise NotThereError(f"there is no prompt {number}; load the list again")


def _with_take(workspace: Workspace, prompt: Prompt) -> Prompt:
    path = take_of(workspace, prompt.number)
    return replace(prompt, recorded=True, duration=seconds_of(path)) if path.is_file() else prompt


def _numbers_of_takes(workspace: Workspace) -> Iterator[int]:
    return (int(path.stem) for path in takes(workspace))


def _keep_older(path: Path) -> None:
    number = 1
    while (older := path.with_suffix(f".take{number}.wav")).exists():
        number += 1
    with path.open("rb") as source, whole_file(older) as file:
        shutil.copyfileobj(source, file)


def _write_line(workspace: Workspace, prompt: Prompt, path: Path, started: str) -> None:
    """Replace the line of a prompt in the manifest; all other lines stay as they are."""
    manifest = workspace.root / FOLDER / MANIFEST
    before = read_text(manifest).split("\n") if manifest.is_file() else []
    lines = [line for line in before if line.strip() and not _names(line, path.name)]
    extra = {"checked": True, "recorded": started}
    utterance = Utterance(f"{FOLDER}/{path.stem}", path, prompt.text, duration=prompt.duration, extra=extra)
    lines.append(to_json(to_row(utterance, manifest.parent)))
    write_whole(manifest, "".join(f"{line}\n" for line in lines).encode())


def _names(line: str, name: str) -> bool:
    try:
        return bool(json.loads(line)["audio_filepath"] == name)
    except (ValueError, TypeError, KeyError):
        return False


def _one_line(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(writable(text).split()))
