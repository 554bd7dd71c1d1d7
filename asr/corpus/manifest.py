"""Manifests: one utterance a line, as JSON Lines with NeMo's names, or CSV/TSV with the same columns."""

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr.errors import ManifestError, raise_problems
from asr.files import read_text
from asr.utterance import Utterance

SUFFIXES = (".jsonl", ".csv", ".tsv")
_NAMED = ("id", "audio_filepath", "text", "offset", "duration", "speaker")


def read_manifest(path: str | Path, *, require_text: bool = False, text_field: str = "text") -> list[Utterance]:
    """Reads `.jsonl`, `.csv` or `.tsv`; audio paths are taken relative to the manifest's folder.

    Raises ManifestError that lists every faulty line (the first ten in full), not only the first.
    """
    utterances, problems = scan_manifest(path, require_text=require_text, text_field=text_field)
    raise_problems([f"{path}:{line}: {fault}" for line, fault in problems], ManifestError)
    if not utterances:
        raise ManifestError(f"{path}: holds no utterances")
    return [utterance for _, utterance in utterances]


def scan_manifest(
    path: str | Path, *, require_text: bool = False, text_field: str = "text"
) -> tuple[list[tuple[int, Utterance]], list[tuple[int, str]]]:
    """Reads the lines of a manifest that can be read, and tells the others' faults, each with its number.

    `text_field` is the field that becomes the text of an utterance.
    Raises ManifestError only where the file as a whole cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(
            f"{path}: no such manifest; for a recipe, run `make` with its name, which prepares the data"
        )
    content = read_text(path, ManifestError)
    rows = _csv_rows(path, content) if path.suffix in (".csv", ".tsv") else json_rows(content)
    utterances: list[tuple[int, Utterance]] = []
    problems: list[tuple[int, str]] = []
    lines_of_ids: dict[str, int] = {}
    for line, row in rows:
        try:
            utterance = from_row(row, path.parent, require_text, text_field)
            if utterance.id in lines_of_ids:
                raise ValueError(f"id {utterance.id!r} stands already in line {lines_of_ids[utterance.id]}")
            lines_of_ids[utterance.id] = line
            utterances.append((line, utterance))
        except ValueError as error:
            problems.append((line, str(error)))
    return utterances, problems


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Writes JSON Lines, audio paths relative to the manifest, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf-8") as file:
        for utterance in utterances:
            file.write(json.dumps(to_row(utterance, path.parent), ensure_ascii=False) + "\n")
    draft.replace(path)


def to_row(utterance: Utterance, folder: Path) -> dict[str, Any]:
    """The manifest row of an utterance, its audio path relative to `folder`."""
    row: dict[str, Any] = {
        "id": utterance.id,
        "audio_filepath": Path(os.path.relpath(utterance.audio, folder)).as_posix(),
        "text": utterance.text,
        "offset": utterance.offset or None,
        "duration": utterance.duration,
        "speaker": utterance.speaker,
        **utterance.extra,
    }
    return {key: value for key, value in row.items() if value is not None}


def with_hypothesis(utterance: Utterance, hypothesis: str) -> Utterance:
    """The same utterance with a hypothesis as an extra field of its row."""
    return replace(utterance, extra={**utterance.extra, "hypothesis": hypothesis})


def json_rows(content: str) -> Iterable[tuple[int, Any]]:
    """Numbered rows of JSON Lines; a line that is not JSON is given as a ValueError."""
    # Not splitlines(): a transcript may hold U+2028, which JSON leaves as it is.
    for line, text in enumerate(content.split("\n"), start=1):
        if text.strip():
            try:
                yield line, parse_json(text)
            except ValueError as error:
                yield line, ValueError(f"is not JSON ({error}); every line must be one JSON object")


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError also for what could not be written again: half a character."""
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():  # an escape is the only way for a surrogate to get into a text
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error).partition(": line ")[0]) from None
    return value


def _csv_rows(path: Path, content: str) -> Iterable[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
    if "audio_filepath" not in (reader.fieldnames or ()):
        raise ManifestError(
            f"{path}: its first line must name the columns audio_filepath and text; found: "
            + ", ".join(reader.fieldnames or ["nothing"])
        )
    try:
        for row in reader:
            yield reader.line_num, {key: value for key, value in row.items() if key and value}
    except csv.Error as error:
        raise ManifestError(f"{path}:{reader.line_num}: is not CSV: {error}") from None


def from_row(row: Any, folder: Path, require_text: bool = False, text_field: str = "text") -> Utterance:
    """The utterance of a manifest row, the inverse of `to_row`. Raises ValueError that says what is wrong with it."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f"is a {type(row).__name__}; every line must be one JSON object")
    name, text = row.get("audio_filepath"), row.get(text_field)
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError("has no audio_filepath")
    if text_field != "text" and isinstance(text, int | float):
        text = str(text)  # the number of a speaker, say
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{text_field} is {text!r}, not a string")
    if require_text and not (text or "").strip():
        cure = "transcribe it" if text_field == "text" else "add it"
        raise ValueError(f"{name} has no {text_field}; {cure} or take the line out")
    offset, duration = _seconds(row, "offset"), _seconds(row, "duration")
    if duration == 0.0:
        raise ValueError(f"{name}: duration is 0 s")
    identifier = row.get("id")
    if identifier is None:
        identifier = name if offset is None else f"{name}@{offset:g}"
    speaker = row.get("speaker")
    return Utterance(
        id=str(identifier),
        audio=Path(os.path.normpath(folder / name)),
        text=text,
        offset=offset or 0.0,
        duration=duration,
        speaker=None if speaker is None else str(speaker),
        extra={key: value for key, value in row.items() if key not in _NAMED},
    )


def _seconds(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if not 0.0 <= seconds < 1e7:
        raise ValueError(f"{key} is {value!r}, not a number of seconds")
    return seconds
