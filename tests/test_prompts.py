"""The recipe `prompts`: packages of Debian, texts as they are spoken, and splits of five languages."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile
from test_recipes import failure, module, prepare, read_splits, run_prepare

from asr.corpus.download import extract
from asr.corpus.manifest import read_manifest

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
    "ru": {"agent-pass": ("Нажмите решётку, 2", "Нажмите решетку, ru two"), "digits/at": ("в", "в")},
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
        texts = [f"digits/{digit}: {language} {word}" for digit, word in enumerate(NUMBERS)] + lines.get(language, [])
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
    names = [np.base_repr(12345 + number, 3).translate(str.maketrans("012", "aei")) for number in range(60)]
    lines = [f"in-{name}: {name}" for name in names] + [f"out-{name}: ... {name.title()}!" for name in names]
    plant(tmp_path / "packages", dict.fromkeys(("en", "es", "fr", "it"), lines))
    prepare("prompts", tmp_path / "out", "--source", tmp_path / "packages")
    whole = read_splits(tmp_path / "out")
    assert sum(map(len, whole.values())) == 5 * 10 + 4 * 120
    words = {}
    for name, utterances in whole.items():
        parts = [read_manifest(tmp_path / "out" / f"{name}.{language}.jsonl") for language in PROMPTS.VOICES]
        assert [u.id for part in parts for u in part] == [u.id for u in utterances]
        assert all(u.extra == {"language": u.id[:2]} and u.duration == 0.1 for u in utterances)
        words[name] = {(u.extra["language"], PROMPTS.words(u.text or "")) for u in utterances}
    assert words["train"].isdisjoint(words["validation"] | words["test"])
    assert words["validation"].isdisjoint(words["test"])
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
    found = {u.id: u.text for u in utterances if (u.text or "").split()[-1] not in NUMBERS or "digits" not in u.id}
    assert found == {
        f"{language}-{name.lower().replace('/', '-')}": text
        for language, rows in SPOKEN.items()
        for name, (_, text) in rows.items()
    }
    assert "en: 14 prompts; left out: " in done.stderr and "2 sounds without speech" in done.stderr

    table = next((tmp_path / "packages").glob("**/core-sounds-fr.txt.gz"))
    table.write_bytes(gzip.compress(b"vm-and: et\nno name\n"))
    assert "'no name' has no name and colon" in failure("prompts", tmp_path / "out", "--source", tmp_path / "packages")
    table.write_bytes(table.read_bytes()[:-5])
    assert "is damaged" in failure("prompts", tmp_path / "out", "--source", tmp_path / "packages")
