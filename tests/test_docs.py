"""Pages of the repository: commands, Python, links and generated tables in the README, docs/ and recipes/.

Blocks between fences are read. In `bash` blocks each line is a command, in `console` blocks each line after `$ `. All
commands of `asr` are parsed by the command line's own parser, of `make` the target must be there, of `recipes/` the
file. On the README and the guides every command is also run, and so is Python, in a folder that holds tiny models and
recordings of tones under the names that the pages use. HTML comments before a block name the exceptions, by the
beginning of a command:

    <!-- not run: asr train, jq -->    parsed only, since it trains for minutes or needs another program
    <!-- exit 1: asr check -->         must end with this exit status

Recipes and experiments need real corpora, so their commands are parsed only.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from conftest import REPOSITORY, fresh_recognizer, spell
from pympi.Elan import Eaf
from test_stream import streaming
from typer.testing import CliRunner

import asr
from asr.classifier import Classifier
from asr.cli import app
from asr.corpus.manifest import read_manifest, with_hypothesis, write_manifest

GUIDES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
NOTES = sorted([*(REPOSITORY / "docs/experiments").glob("*.md"), *(REPOSITORY / "recipes").glob("**/README.md")])
OTHERS = [REPOSITORY / "CHANGELOG.md", REPOSITORY / "CODE_OF_CONDUCT.md", *(REPOSITORY / "docs/api").glob("*.md")]
PLACEHOLDERS = {"MODEL": "runs/demo/model.safetensors", "AUDIO": "talk.wav", "TEXT": "talk.txt", "NAME": "demo"}
BLOCK = re.compile(r"^((?:<!-- [^\n]* -->\n)*)```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@dataclass(frozen=True)
class Command:
    """One line of shell in a page."""

    text: str
    run: bool
    status: int  # exit status that it must have if it is run


def marked(comments: str, name: str) -> list[str]:
    """The beginnings of commands that comments before a block name after `name`."""
    found = re.findall(rf"<!-- {name}: (.*) -->", comments)
    return [beginning for names in found for beginning in names.split(", ")]


def commands(page: Path) -> Iterator[Command]:
    """Commands of a page, continued lines joined, comments left out. A mark that fits no command is an error."""
    for comments, language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = body.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        elif language != "bash":
            lines = []
        texts = [text for line in lines if (text := re.sub(r"(^|\s+)#.*", "", line).strip())]
        not_run, fails = marked(comments, "not run"), marked(comments, "exit 1")
        for beginning in not_run + fails:
            assert any(text.startswith(beginning) for text in texts), f"{name_of(page)}: no command {beginning!r}"
        for text in texts:
            status = 1 if text.startswith(tuple(fails)) else 0
            yield Command(text, not text.startswith(tuple(not_run)), status)


def pythons(page: Path) -> list[str]:
    """Blocks of Python of a page."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [body for _, language, body in found if language == "python"]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> Path:
    """A folder in which the names that the pages use stand for tones and a model without training."""
    folder = tmp_path_factory.mktemp("field")
    recognizer = fresh_recognizer("abc ")
    utterances = read_manifest(tones / "validation.jsonl")
    for name in ("demo", "fsdd", "fsdd-seed1", "fsdd-seed2", "my", "mine", "second", "mboshi"):
        data, run = folder / "data" / name, folder / "runs" / name
        (data / "test").mkdir(parents=True)
        for number in range(3):
            shutil.copy(utterances[number].audio, data / "test" / f"{number:04d}.wav")
        texts = [with_hypothesis(u, "ab" if index % 2 else u.text or "") for index, u in enumerate(utterances)]
        for split in ("train", "validation", "test"):
            write_manifest(data / f"{split}.jsonl", read_manifest(tones / "validation.jsonl"))
        (data / "config.yaml").write_text("data: {train: ./train.jsonl, validation: ./validation.jsonl}\n")
        write_manifest(run / "test.hyp.jsonl", texts)
        paths = {"train": f"data/{name}/train.jsonl", "validation": f"data/{name}/validation.jsonl"}
        config = recognizer.config
        recognizer.config = config.model_copy(update={"data": type(config.data).model_validate(paths)})
        recognizer.summary = {"training_utterances": 16, "training_hours": 0.0, "validation_utterances": 16,
                              "epoch": 1, "seed": 0, "git_commit": None}  # fmt: skip
        recognizer.save(run / "model.safetensors")
        (run / "config.yaml").write_text(recognizer.config.to_yaml())
        (run / "log.jsonl").write_text('{"epoch": 1, "train_loss": 1, "validation_loss": 1, "wer": 1, "cer": 1}\n')
    words = [replace(u, text="ab" if index % 2 else "ba") for index, u in enumerate(utterances)]  # two values to learn
    write_manifest(folder / "data/fsdd/validation.jsonl", words)
    too_long = replace(utterances[0], id="too-long", text="abc" * 60)  # `asr check` must find it
    write_manifest(folder / "data/fsdd/train.jsonl", [*words, too_long, replace(too_long, id="too-long-2")])
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
    words = [PLACEHOLDERS["MODEL"] if word.startswith("hf://") else word for word in words]  # no test asks the hub
    named = [word.replace("data/NAME", "data/demo").replace("recipes/NAME", "recipes/demo") for word in words]
    globs = [sorted(map(str, Path().glob(word))) if f" {word}" in command and "*" in word else [] for word in named]
    return [file for word, files in zip(named, globs, strict=True) for file in files or [word]]


def subcommand(arguments: list[str]) -> str:
    """The command that is meant, once it and its options are parsed."""
    group = typer.main.get_command(app)
    name, command, rest = group.resolve_command(group.make_context("asr", arguments), arguments)
    command.make_context(name, list(rest))
    return name


def check_parsed(command: str) -> None:
    """Parse a command of `asr`, or look whether what it names is there."""
    targets = re.findall(r"^([a-z0-9-]+):", makefiles(), re.MULTILINE)
    recipes = ["NAME", *(path.parent.name for path in (REPOSITORY / "recipes").glob("*/config.yaml"))]
    targets += [f"{recipe}-{of_seeds}" for recipe in recipes for of_seeds in ("seeds", "receipts")]
    words = shlex.split(command)
    for word in words:
        if word.startswith("recipes/") and "NAME" not in word:
            assert (REPOSITORY / word).exists(), command
    program = next((word for word in words if "=" not in word), "")
    if program == "make":
        asked = [word for word in words[words.index("make") + 1 :] if "=" not in word]
        assert set(asked) <= {*targets, "help"}, command
    elif program == "asr":
        subcommand(arguments_of(command))


def makefiles() -> str:
    files = [REPOSITORY / "Makefile", *sorted((REPOSITORY / "recipes").glob("*/recipe.mk"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_every_command_of_the_guides(page: Path, field: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(field)
    monkeypatch.setattr("asr.recognition.align.SURE", 0.0)  # the model is not trained
    for command in commands(page):
        check_parsed(command.text)
        if not command.run or command.text.startswith("make "):
            continue
        if command.text.startswith("asr "):
            done = CliRunner().invoke(app, arguments_of(command.text))
            assert done.exit_code == command.status, (command.text, done.exception, done.stderr)
        else:
            program = f"{shlex.quote(sys.executable)} -m asr "
            shell = subprocess.run(
                ["bash", "-c", command.text.replace("asr ", program)], capture_output=True, text=True
            )
            assert shell.returncode == command.status, (command.text, shell.stderr)


@pytest.mark.parametrize("page", NOTES, ids=name_of)
def test_every_command_of_recipes_and_experiments_parses(page: Path) -> None:
    for command in commands(page):
        check_parsed(command.text)


@pytest.mark.parametrize("page", [page for page in GUIDES if pythons(page) and page.stem != "extend"], ids=name_of)
def test_every_python(page: Path, field: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the Python of all guides but extend.md, whose programs need its changes: test_extend.py runs them."""
    monkeypatch.chdir(field)
    sound = spell("abc", np.random.default_rng(0)).astype(np.float32)
    names = {"samples": sound, "chunks": [sound[:4000], sound[4000:]]}
    for block in pythons(page):
        exec(compile(block.replace('"nine"', '"abc"'), str(page), "exec"), names)


def test_commands_are_found() -> None:
    """The extraction itself: it must not become blind when pages change."""
    found = {name_of(page): [command.text for command in commands(page)] for page in GUIDES + NOTES}
    assert "asr align MODEL talk.wav talk.txt --make-corpus data/talk" in found["docs/align.md"]
    assert sum(map(len, found.values())) > 100
    assert sum(command.run for page in GUIDES for command in commands(page)) > 40
    assert {"README", "transcribe"} <= {page.stem for page in GUIDES if pythons(page)}


def test_a_mark_must_fit_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_docs.REPOSITORY", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("<!-- exit 1: asr score a -->\n<!-- not run: asr tune -->\n```bash\nasr score a b\nasr tune\n```\n")
    assert list(commands(page)) == [Command("asr score a b", True, 1), Command("asr tune", False, 0)]
    page.write_text("<!-- exit 1: asr score -->\n```bash\nasr check\n```\n")
    with pytest.raises(AssertionError, match="no command 'asr score'"):
        list(commands(page))


@pytest.mark.parametrize("page", GUIDES + NOTES + OTHERS, ids=name_of)
def test_every_link_and_block(page: Path) -> None:
    """Relative links lead to files, and their anchors to headings; commands stand between fences, not indented."""
    text = page.read_text(encoding="utf-8")
    prose = BLOCK.sub("", text)
    assert "```" not in prose, "a fence that is not closed, or in a list"
    assert not re.search(r"\n\n    \S", prose), "an indented block, whose commands no test would see"
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{name_of(page)}: {target}"


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_reference_has_every_public_name() -> None:
    page = (REPOSITORY / "docs/api/index.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^::: asr\.(\w+)$", page, re.MULTILINE))
    assert named == {name for name in asr.__all__ if not name.startswith("__")}
