"""AN4 -> manifests: the official split; a hash of the speakers' names moves a tenth of training to validation."""

from pathlib import Path

import soundfile

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.readers.files import SourceError, matches
from asr.corpus.readers.reading import numbered_lines
from asr.corpus.recipe import open_corpus, write_splits
from asr.corpus.split import split
from asr.errors import raise_problems
from asr.utterance import Utterance

# NVIDIA's copy, which NeMo's tutorials use, because CMU's own server, speech.cs.cmu.edu, has no https. There is no
# official checksum; this one is published by other users of the copy.
ARCHIVES = [
    Archive(
        "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",
        checksum="sha256:a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
    )
]
FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}
AUDIO = (".sph", ".wav", ".flac")
VALIDATION = 0.1  # share of the training speakers


def main() -> None:
    source, out = open_corpus("an4", __doc__, ARCHIVES)
    validation, train = split(read_part(source, "train"), (VALIDATION, 1 - VALIDATION), by=lambda u: u.speaker or "")
    write_splits(out, {"train": train, "validation": validation, "test": read_part(source, "test")})


def read_part(source: Path, part: str) -> list[Utterance]:
    """Read the lines of `etc/an4_{part}.transcription`, at any depth below `source`.

    Raises SourceError for a missing file, a faulty line or a missing recording.
    """
    tables = matches(source, f"**/etc/an4_{part}.transcription")
    if not tables:
        raise SourceError(f"{source}: holds no etc/an4_{part}.transcription; give the folder of the AN4 corpus")
    utterances, problems = [], []
    for line, content in numbered_lines(tables[0]):
        try:
            utterances.append(describe(content, tables[0].parents[1] / "wav" / FOLDERS[part]))
        except ValueError as error:
            problems.append(f"{tables[0]}:{line}: {error}")
    raise_problems(problems, SourceError)
    return utterances


def describe(line: str, folder: Path) -> Utterance:
    """Return the utterance of a line such as `<s> HELLO </s> (an251-fash-b)`, where fash is the speaker.

    Raises ValueError for a faulty line or a missing recording.
    """
    text, _, name = line.rstrip(")").rpartition("(")
    if name.count("-") != 2:
        raise ValueError(f"{line!r} does not end in (recording-speaker-microphone); download the corpus again")
    speaker = name.split("-")[1]
    audio = next((path for suffix in AUDIO if (path := folder / speaker / (name + suffix)).is_file()), None)
    if audio is None:
        raise ValueError(
            f"{folder / speaker / name}: no such recording ({' or '.join(AUDIO)}); download the corpus again"
        )
    return Utterance(
        id=name,
        audio=audio,
        text=text.replace("<s>", "").replace("</s>", "").strip(),
        duration=soundfile.info(audio).duration,
        speaker=speaker,
    )


if __name__ == "__main__":
    run(main)
