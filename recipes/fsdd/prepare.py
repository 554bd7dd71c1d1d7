"""Free Spoken Digit Dataset -> manifests: the official split, and one without each speaker in turn.

Official: recordings numbered 0-4 are test, 5-49 training. Validation is carved out of training by a hash of
the recording's name.
"""

import argparse
from pathlib import Path

import soundfile

from asr.cli import run
from asr.corpus.download import Archive, obtain
from asr.corpus.manifest import Utterance, write_manifest
from asr.corpus.split import split
from asr.errors import ManifestError

# The archive of a tag is made by the host when asked for, so its bytes may change: no checksum.
ARCHIVE = Archive(
    name="fsdd",
    url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",
)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RECORDINGS = 3000
VALIDATION = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("data/fsdd"), help="folder for manifests and downloads")
    parser.add_argument("--source", type=Path, help="a local copy of the corpus, used instead of downloading")
    arguments = parser.parse_args()

    source = obtain(ARCHIVE, arguments.out / "download", arguments.source)
    utterances = [describe(path) for path in sorted(source.glob("**/recordings/*.wav"))]
    if len(utterances) != RECORDINGS:
        raise ManifestError(f"{source}: {len(utterances)} recordings found, {RECORDINGS} expected in recordings/*.wav")
    test = [utterance for utterance in utterances if utterance.extra["index"] < 5]
    rest = [utterance for utterance in utterances if utterance.extra["index"] >= 5]
    validation, train = split(rest, (VALIDATION, 1 - VALIDATION))
    write_manifest(arguments.out / "test.jsonl", test)
    write_manifest(arguments.out / "validation.jsonl", validation)
    for speaker in sorted({str(utterance.speaker) for utterance in utterances}):
        write_manifest(arguments.out / f"{speaker}.jsonl", [u for u in utterances if u.speaker == speaker])
        others = [u for u in utterances if u.speaker != speaker]
        held_out, kept = split(others, (VALIDATION, 1 - VALIDATION))
        write_manifest(arguments.out / f"without-{speaker}.validation.jsonl", held_out)
        write_manifest(arguments.out / f"without-{speaker}.train.jsonl", kept)
    write_manifest(arguments.out / "speakers.jsonl", utterances)
    write_manifest(arguments.out / "train.jsonl", train)  # last: make takes it for the sign that all is there


def describe(path: Path) -> Utterance:
    """The utterance in `{digit}_{speaker}_{index}.wav`."""
    digit, speaker, index = path.stem.split("_")
    return Utterance(
        id=path.stem,
        audio=path,
        text=WORDS[int(digit)],
        duration=soundfile.info(path).duration,
        speaker=speaker,
        extra={"index": int(index)},
    )


if __name__ == "__main__":
    run(main)
