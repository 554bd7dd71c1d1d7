"""YesNo -> manifests: Kaldi's and icefall's split, sorted by name, the first 30 for training, the rest test.

Every sixth training recording is kept for validation.
"""

import argparse
from pathlib import Path

import soundfile

from asr.corpus.download import Archive, obtain
from asr.corpus.manifest import Utterance, write_manifest
from asr.errors import ManifestError

ARCHIVE = Archive(
    name="yesno",
    url="https://www.openslr.org/resources/1/waves_yesno.tar.gz",
    sha256="c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73",
)
WORDS = {"0": "no", "1": "yes"}
RECORDINGS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("data/yesno"), help="folder for manifests and downloads")
    parser.add_argument("--source", type=Path, help="a local copy of the corpus, used instead of downloading")
    arguments = parser.parse_args()

    source = obtain(ARCHIVE, arguments.out / "download", arguments.source)
    utterances = [describe(path) for path in sorted(source.glob("**/waves_yesno/*.wav"))]
    if len(utterances) != RECORDINGS:
        raise ManifestError(f"{source}: {len(utterances)} recordings found, {RECORDINGS} expected in waves_yesno/*.wav")
    first, test = utterances[:30], utterances[30:]
    write_manifest(arguments.out / "test.jsonl", test)
    write_manifest(arguments.out / "validation.jsonl", first[::6])
    train = [utterance for index, utterance in enumerate(first) if index % 6]
    write_manifest(arguments.out / "train.jsonl", train)  # last: make takes it for the sign that all is there


def describe(path: Path) -> Utterance:
    """The utterance in `0_1_….wav`, where 1 is "ken" (yes) and 0 is "lo" (no)."""
    text = " ".join(WORDS[digit] for digit in path.stem.split("_"))
    return Utterance(id=path.stem, audio=path, text=text, duration=soundfile.info(path).duration)


if __name__ == "__main__":
    main()
