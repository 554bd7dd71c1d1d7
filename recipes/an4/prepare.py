"""AN4 -> manifests: the official split, with the training speakers divided by a hash of their names for validation."""

from pathlib import Path

import soundfile

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.readers.files import SourceError, matches, numbered_lines
from asr.corpus.recipe import open_corpus, write_splits
from asr.corpus.split import split
from asr.errors import raise_problems
from asr.utterance import Utterance

# NVIDIA's copy, which NeMo's tutorials use; CMU's own server, speech.cs.cmu.edu, has no https. The sum is one that
# other users of this copy publish; there is no official one.
ARCHIVES = [
    Archive(
        "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",
        checksum="sha256:a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
    )
]
FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}
AUDIO = (".sph", ".wav", ".flac")
VALIDATION = 0.1


def main() -> None:
    source, out = open_corpus("an4", __doc__, ARCHIVES)
    validation, train = split(read_part(source, "train"), (VALIDATION, 1 - VALIDATION), by=lambda u: u.speaker or "")
    write_splits(out, {"train": train, "validation": validation, "test": read_part(source, "test")})


def read_part(source: Path, part: str) -> list[Utterance]:
    """The utterances of `etc/an4_{part}.transcription` somewhere below `source`. Raises SourceError for gaps."""
    tables = matches(source, f"**/etc/an4_{part}.transcription")
    if not tables:
        raise SourceError(f"{source}: holds no etc/an4_{part}.transcription; is it the AN4 corpus?")
    utterances, problems = [], []
    for line, content in numbered_lines(tables[0]):
        try:
            utterances.append(describe(content, tables[0].parents[1] / "wav" / FOLDERS[part]))
        except ValueError as error:
            problems.append(f"{tables[0]}:{line}: {error}")
    raise_problems(problems, SourceError)
    return utterances


def describe(line: str, folder: Path) -> Utterance:
    """The utterance in `<s> HELLO </s> (an251-fash-b)`, where fash is the speaker. Raises ValueError."""
    text, _, name = line.rstrip(")").rpartition("(")
    if name.count("-") != 2:
        raise ValueError(f"found {line!r}, which does not end in (recording-speaker-microphone)")
    speaker = name.split("-")[1]
    audio = next((path for suffix in AUDIO if (path := folder / speaker / (name + suffix)).is_file()), None)
    if audio is None:
        raise ValueError(f"{folder / speaker / name}: no such recording ({' or '.join(AUDIO)})")
    return Utterance(
        id=name,
        audio=audio,
        text=text.replace("<s>", "").replace("</s>", "").strip(),
        duration=soundfile.info(audio).duration,
        speaker=speaker,
    )


if __name__ == "__main__":
    run(main)
