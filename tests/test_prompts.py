"""The recipe `prompts`: packages of Debian, texts as they are spoken, and splits of five languages."""

import gzip
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY
from test_recipes import failure, module, prepare, read_splits, run_prepare

from asr.config import Config
from asr.corpus.download import extract
from asr.corpus.manifest import read_manifest
from asr.errors import ConfigError
from asr.recognition.recognizer import Recognizer
from asr.text import Units
from asr.training.build import start_from

PROMPTS = module("prompts")
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
DOUBTFUL = {
    "en": [
        "beep: [this is a simple beep tone]",
        "silence/1: (1 second of silence)",
        "letters/w: w",
        "spy-misdn: M I S D N",
        "spy-h323: H.323",
        'spy-iax2: IAX (note: does not say "2")',
        "digits/a-m: A.M.",
        "demo-moreinfo: Asterisk is a PBX.",
        "demo-instruct: To execute an echo test dial 600.",
        "confbridge-binaural-on: 3D audio enabled",
        "dir-usingkeypad: Use the 7 key for Q.",
        "dictate/both_help: press * to toggle pause",
        "dir-welcome:",
    ],
    "es": ["vm-mismatch: Las contrasenas que usted tecleo no coinciden."],
    "it": [
        "conf-full: La conferenza ? piena.",
        "phonetic/b_p: b come bologna",
        "vm-tempremoved: Il tuo messaggio è stato eliminato vm-then-pound: poi premere cancelletto",
        "beeperr: un suono beep di errore",
    ],
    "ru": ["vm-first: первoe", "demo: Asterisk это телефонная станция"],
}
SPOKEN = {
    "en": {
        "vm-tocallnum": ("press 1 to call", "press en one to call"),
        "letters/dash": ("dash [-]", "dash"),
        "vm-incorrect-mailbox": ("Mailbox? I'd try.", "Mailbox? I'd try."),
        "vm-INBOX": ("new", "new"),
    },
    "es": {
        "conf-locked": ("La conferencia está bloqueada mañana", "La conferencia esta bloqueada manana"),
        "y": ("y", "y"),
    },
    "ru": {"agent-pass": ("Нажмите решётку, 2", "Нажмите решетку, число"), "digits/at": ("в", "в")},
}


def package(files: dict[str, bytes]) -> bytes:
    """A Debian package of some files below /usr/share."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./usr/share/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    content = buffer.getvalue()
    return b"!<arch>\n" + f"{'data.tar.xz':<48}{len(content):<10}`\n".encode() + content


def plant(folder: Path, lines: dict[str, list[str]]) -> None:
    """Extract the packages of each language: its digits and `lines`, and a recording of 0.1 s for each name."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(800), 8000, format="WAV")
    for language, voice in PROMPTS.VOICES.items():
        numbers = ["число"] * 10 if language == "ru" else [f"{language} {word}" for word in NUMBERS]
        texts = [f"digits/{digit}: {word}" for digit, word in enumerate(numbers)] + lines.get(language, [])
        names = {text.partition(":")[0] for text in texts if ":" in text}
        table = gzip.compress("\n".join(["; Core Asterisk Sounds", "", *texts]).encode())
        for number, files in enumerate(
            (
                {f"doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz": table},
                {f"asterisk/sounds/{voice}/{name}.wav": buffer.getvalue() for name in names},
            )
        ):
            (folder.parent / "packed.deb").write_bytes(package(files))
            extract(folder.parent / "packed.deb", folder / f"{language}{number}")


def test_equal_words_are_in_one_split(tmp_path: Path) -> None:
    """Each whole split is the sum of its five parts."""
    names = [np.base_repr(12345 + number, 3) for number in range(60)]
    lines = {}
    for language in PROMPTS.VOICES:
        words = [name.translate(str.maketrans("012", "аеи" if language == "ru" else "aei")) for name in names]
        lines[language] = [f"in-{name}: {word}" for name, word in zip(names, words, strict=True)]
        lines[language] += [f"out-{name}: ... {word.title()}!" for name, word in zip(names, words, strict=True)]
    plant(tmp_path / "packages", lines)
    prepare("prompts", tmp_path / "out", "--source", tmp_path / "packages")
    whole = read_splits(tmp_path / "out")
    assert sum(map(len, whole.values())) == 5 * (10 + 120)
    keys = {}
    for name, utterances in whole.items():
        parts = [read_manifest(tmp_path / "out" / f"{name}.{language}.jsonl") for language in PROMPTS.VOICES]
        assert [u.id for part in parts for u in part] == [u.id for u in utterances]
        assert all(u.extra == {"language": u.id[:2]} and u.duration == 0.1 for u in utterances)
        keys[name] = {(u.extra["language"], PROMPTS.words(u.text or "")) for u in utterances}
    assert keys["train"].isdisjoint(keys["validation"] | keys["test"])
    assert keys["validation"].isdisjoint(keys["test"])
    assert {u.speaker for u in whole["train"] if u.extra["language"] == "it"} == {"it_IT_m_Carlo"}

    next((tmp_path / "packages").glob("**/core-sounds-it.txt.gz")).unlink()
    assert "holds no core-sounds-it.txt.gz" in failure("prompts", tmp_path / "out", "--source", tmp_path / "packages")


def test_texts_are_as_they_are_spoken_or_left_out(tmp_path: Path) -> None:
    """Each doubt, and each change of a text, with lines of the real lists."""
    lines = {
        language: DOUBTFUL.get(language, [])
        + [f"{name}: {text}" for name, (text, _) in SPOKEN.get(language, {}).items()]
        for language in PROMPTS.VOICES
    }
    plant(tmp_path / "packages", lines)
    done = run_prepare("prompts", tmp_path / "out", "--source", tmp_path / "packages")
    assert done.returncode == 0, done.stderr
    utterances = [u for rows in read_splits(tmp_path / "out").values() for u in rows]
    found = {u.id: u.text for u in utterances if not re.search(r"-digits-\d$", u.id)}
    assert found == {
        f"{language}-{name.lower().replace('/', '-')}": text
        for language, rows in SPOKEN.items()
        for name, (_, text) in rows.items()
    }
    assert "en: 14 prompts; left out: " in done.stderr and "2 sounds without speech" in done.stderr

    table = next((tmp_path / "packages").glob("**/core-sounds-fr.txt.gz"))
    table.write_bytes(gzip.compress(b"vm-and: et\nno name\n"))
    assert "'no name' has no name and colon" in failure("prompts", tmp_path / "out", "--source", tmp_path / "packages")
    table.write_bytes(gzip.compress(b"vm-and: et\n")[:-5])
    assert "is damaged" in failure("prompts", tmp_path / "out", "--source", tmp_path / "packages")


def test_training_that_starts_from_the_recipe_names_all_settings_at_once(tmp_path: Path) -> None:
    start = Recognizer(Config.load(REPOSITORY / "recipes" / "prompts" / "config.yaml"), Units(" aж"))
    start.save(tmp_path / "model.safetensors")
    settings = ["features.sample_rate=8000", "features.bins=80", "model.hidden=192", "model.layers=2"]
    mboshi = REPOSITORY / "recipes" / "mboshi" / "config.yaml"
    with pytest.raises(ConfigError, match=re.escape(f"use --set {' --set '.join(settings)}")):
        start_from(Recognizer(Config.load(mboshi), Units(" ab")), tmp_path / "model.safetensors")
    other = Recognizer(Config.load(mboshi, settings), Units(" ab"))
    assert "units 2 kept, 1 new, 1 dropped" in start_from(other, tmp_path / "model.safetensors")
