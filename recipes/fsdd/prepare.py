"""Free Spoken Digit Dataset -> manifests: the official split, and for each speaker a split without that speaker.

In the official split, recordings 0-4 are test, and recordings 5-49 are training. A hash of the recordings' names moves
a tenth of training to validation.
"""

from pathlib import Path

import soundfile

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.recipe import open_corpus, write_splits
from asr.corpus.split import split
from asr.errors import ManifestError
from asr.utterance import Utterance

# No checksum: the host makes the archive of a tag at each download, so its bytes may change.
ARCHIVES = [Archive("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz")]
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RECORDINGS = 3000
VALIDATION = 0.1  # share of the training recordings


def main() -> None:
    source, out = open_corpus("fsdd", __doc__, ARCHIVES)
    utterances = [describe(path) for path in sorted(source.glob("**/recordings/*.wav"))]
    if len(utterances) != RECORDINGS:
        raise ManifestError(
            f"{source}: {len(utterances)} recordings found, {RECORDINGS} expected in recordings/*.wav; "
            "give the folder of the corpus, or download it again"
        )
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
    """Return the utterance of a recording `{digit}_{speaker}_{index}.wav`."""
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
