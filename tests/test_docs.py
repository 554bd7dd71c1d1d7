"""Every command and every piece of Python in the README and in docs/.

All commands of `asr` are parsed by the command line's own parser. Those in `RUN` are also run, and so are plain shell
lines and Python, in a folder that holds a tiny model and recordings of tones under the names that the pages use. Not
run is what trains for minutes (`train`, `selftest`, `tune`, `suspects CONFIG`) and what needs a corpus of some format
(`prepare`, which test_prepare.py runs on each). Of `make`, the target must be there; of `recipes/`, the file.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from conftest import REPOSITORY, fresh_recognizer, spell
from pympi.Elan import Eaf
from test_stream import streaming
from typer.testing import CliRunner

from asr.classification import Classifier
from asr.cli import app
from asr.corpus.manifest import read_manifest, with_hypothesis, write_manifest

RUN = ("transcribe", "align", "score", "lm", "info", "check", "report", "suspects")
# Commands that name these may end with status 1.
FAILS_ON_PURPOSE = ("broken.wav", "data/fsdd/train.jsonl", "digits.safetensors", "mic")
NOT_INSTALLED = ("jq ", "uv ", "source ")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PLACEHOLDERS = {"MODEL": "runs/demo/model.safetensors", "AUDIO": "talk.wav", "TEXT": "talk.txt", "NAME": "demo"}


def blocks(page: Path) -> list[str]:
    """The blocks of a page that are indented by four spaces, each without them; README's of make are among them."""
    found = re.findall(r"(?:^|\n\n)((?:    .*\n|\n(?=    ))+)", page.read_text(encoding="utf-8"))
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def commands(page: Path) -> Iterator[str]:
    """Commands, with `$ ` before them or without, in one line each, comments left out."""
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            bare = line.removeprefix("$ ")
            if line.startswith("$ ") or re.match(r"asr |(make|jq|source|uv) [^=:]*$", line):
                yield re.sub(r"\s+#.*", "", bare)


def pythons(page: Path) -> list[str]:
    return [block for block in blocks(page) if re.match(r"(import|from) \w", block)]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> Path:
    """A folder in which the names that the pages use stand for tones and a model without training."""
    folder = tmp_path_factory.mktemp("field")
    recognizer = fresh_recognizer("abc ")
    utterances = read_manifest(tones / "validation.jsonl")
    for name in ("demo", "fsdd", "fsdd-seed1", "fsdd-seed2", "my", "mine", "mboshi"):
        data, run = folder / "data" / name, folder / "runs" / name
        (data / "test").mkdir(parents=True)
        for number in range(3):
            shutil.copy(utterances[number].audio, data / "test" / f"{number:04d}.wav")
        texts = [with_hypothesis(u, "ab" if index % 2 else u.text or "") for index, u in enumerate(utterances)]
        for split in ("train", "validation", "test"):
            write_manifest(data / f"{split}.jsonl", read_manifest(tones / "validation.jsonl"))
        write_manifest(run / "test.hyp.jsonl", texts)
        paths = {"train": f"data/{name}/train.jsonl", "validation": f"data/{name}/validation.jsonl"}
        config = recognizer.config
        recognizer.config = config.model_copy(update={"data": type(config.data).model_validate(paths)})
        recognizer.summary = {"training_utterances": 16, "training_hours": 0.0, "validation_utterances": 16,
                              "epoch": 1, "seed": 0, "git_commit": None}  # fmt: skip
        recognizer.save(run / "model.safetensors")
        (run / "config.yaml").write_text(recognizer.config.to_yaml())
        (run / "log.jsonl").write_text('{"epoch": 1, "train_loss": 1, "validation_loss": 1, "wer": 1, "cer": 1}\n')
    speakers = [f'"speaker": "{name}"' for name in ("anna", "ben")]
    rows = (folder / "data/fsdd/test.jsonl").read_text().splitlines()
    lines = [row[:-1] + f", {speakers[index % 2]}}}" for index, row in enumerate(rows)]
    (folder / "data/fsdd/test.jsonl").write_text("\n".join(lines))
    shutil.copytree(REPOSITORY / "recipes", folder / "recipes")
    (folder / "day").mkdir()
    (folder / "talks").mkdir()
    sound = spell("abcabc", np.random.default_rng(0))
    for name in ("talk", "recording", "call", "film", "session", "talks/one", "day/one"):
        soundfile.write(folder / f"{name}.wav", sound, 8000)
    soundfile.write(folder / "call.wav", np.stack([sound, sound], axis=1), 8000)
    soundfile.write(folder / "noise.wav", 0.01 * np.random.default_rng(0).standard_normal(16000), 8000)
    shutil.copy(folder / "film.wav", folder / "film.mp4")
    (folder / "broken.wav").write_text("no recording")
    (folder / "talk.txt").write_text("abc abc")
    (folder / "0001.txt").write_text("Abc, b!")
    Eaf().to_file(folder / "mine.eaf")
    shutil.copy(folder / "runs/mine/config.yaml", folder / "mine.yaml")
    for name in ("text.txt", "more-text.txt"):
        (folder / name).write_text("ab abc\nc a b\n" * 20)
    (folder / "names.txt").write_text("abc\n")
    (folder / "digits.txt").write_text("{digit}\n{digit} = a | b | c\n")
    heard = Classifier(recognizer.config.model_copy(update={"task": "classification"}), ["ab", "c"])
    for name, model in (("demo-stream", streaming(units="abc ")), ("fsdd-words", heard)):
        (folder / "runs" / name).mkdir()
        model.save(folder / "runs" / name / "model.safetensors")
    shutil.copy(folder / "data/demo/test/0000.wav", folder / "data/demo/test/0001.wav")
    shutil.copy(folder / "runs/mine/config.yaml", folder / "mine.yaml")
    soundfile.write(folder / "LJ001-0079.flac", sound, 8000)
    languages = [replace(u, extra={"language": "french"}) for u in utterances[:8]]
    languages += [replace(u, extra={"language": "mboshi"}) for u in utterances[8:]]
    for name in ("both.train.jsonl", "both.validation.jsonl"):
        write_manifest(folder / name, languages)
    for name in ("test.jsonl", "validation.jsonl", "before.jsonl", "after.jsonl", "test.hyp.jsonl"):
        write_manifest(folder / name, read_manifest(folder / "runs/fsdd/test.hyp.jsonl"))
    return folder


def arguments_of(command: str) -> list[str]:
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)[1:]]
    named = [word.replace("data/NAME", "data/demo").replace("recipes/NAME", "recipes/demo") for word in words]
    globs = [sorted(map(str, Path().glob(word))) if f" {word}" in command and "*" in word else [] for word in named]
    return [file for word, files in zip(named, globs, strict=True) for file in files or [word]]


def subcommand(arguments: list[str]) -> str:
    """The command that is meant, once it and its options are parsed."""
    group = typer.main.get_command(app)
    name, command, rest = group.resolve_command(group.make_context("asr", arguments), arguments)
    command.make_context(name, list(rest))
    return name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command(page: Path, field: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(field)
    monkeypatch.setattr("asr.recognition.align.SURE", 0.0)  # the model is not trained
    makefiles = [REPOSITORY / "Makefile", *REPOSITORY.glob("recipes/*/recipe.mk")]
    targets = [name for path in makefiles for name in re.findall(r"^([a-z-]+):", path.read_text(), re.MULTILINE)]
    for command in commands(page):
        if command.startswith("make "):
            assert set(command.split()[1:2]) <= {*targets, "help"}, command
        elif command.startswith(NOT_INSTALLED):
            continue
        elif not command.startswith("asr "):
            program = f"{shlex.quote(sys.executable)} -m asr "
            subprocess.run(["bash", "-c", command.replace("asr ", program)], check=True, capture_output=True)
        else:
            arguments = arguments_of(command)
            for word in arguments:
                assert not word.startswith("recipes/") or Path(word).exists(), command
            name = subcommand(list(arguments))
            if name in RUN and not (name == "suspects" and arguments[1].endswith(".yaml")):
                done = CliRunner().invoke(app, arguments)
                may_fail = any(word in FAILS_ON_PURPOSE for word in arguments)
                assert done.exit_code == 0 or (may_fail and done.exit_code == 1), (command, done.exception, done.stderr)


@pytest.mark.parametrize("page", [page for page in PAGES if pythons(page)], ids=lambda page: page.stem)
def test_every_python(page: Path, field: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(field)
    names = {"samples": spell("abc", np.random.default_rng(0)).astype(np.float32)}
    for block in pythons(page):
        exec(compile(block.replace('"nine"', '"abc"'), str(page), "exec"), names)


def test_commands_are_found() -> None:
    """The extraction itself: it must not become blind when pages change."""
    found = {page.stem: list(commands(page)) for page in PAGES}
    assert "asr align MODEL talk.wav talk.txt --make-corpus data/talk" in found["align"]
    assert sum(map(len, found.values())) > 40
    assert {"README", "transcribe"} <= {page.stem for page in PAGES if pythons(page)}
