"""Free Spoken Digit Dataset -> manifests: the official split, and one without each speaker in turn.

Official: recordings numbered 0-4 are test, 5-49 training. Validation is carved out of training by a hash of
the recording's name.
"""

from pathlib import Path

import soundfile

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.recipe import open_corpus, write_splits
from asr.corpus.split import split
from asr.errors import ManifestError
from asr.utterance import Utterance

# The archive of a tag is made by the host when asked for, so its bytes may change: no checksum.
ARCHIVES = [Archive("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz")]
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RECORDINGS = 3000
VALIDATION = 0.1


def main() -> None:
    source, out = open_corpus("fsdd", __doc__, ARCHIVES)
    utterances = [describe(path) for path in sorted(source.glob("**/recordings/*.wav"))]
    if len(utterances) != RECORDINGS:
        raise ManifestError(f"{source}: {len(utterances)} recordings found, {RECORDINGS} expected in recordings/*.wav")
    test = [utterance for utterance in utterances if utterance.extra["index"] < 5]
    rest = [utterance for utterance in utterances if utterance.extra["index"] >= 5]
    validation, train = split(rest, (VALIDATION, 1 - VALIDATION))
    splits = {"train": train, "validation": validation, "test": test, "speakers": utterances}
    for speaker in sorted({str(utterance.speaker) for utterance in utterances}):
        others = [u for u in utterances if u.speaker != speaker]
        held_out, kept = split(others, (VALIDATION, 1 - VALIDATION))
        splits |= {
            speaker: [u for u in utterances if u.speaker == speaker],
            f"without-{speaker}.train": kept,
            f"without-{speaker}.validation": held_out,
        }
    write_splits(out, splits)


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
