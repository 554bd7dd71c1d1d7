"""What the `prepare.py` of every recipe shares: its options, where its corpus comes from, the manifests it writes."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asr.corpus.download import Archive, obtain
from asr.corpus.manifest import write_manifest
from asr.utterance import Utterance


def open_corpus(name: str, description: str, archives: Sequence[Archive]) -> tuple[Path, Path]:
    """Reads `--out` and `--source`; returns the folder of the corpus (see `obtain`) and that for manifests."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("data") / name, help="folder for manifests and downloads"
    )
    parser.add_argument(
        "--source", type=Path, help="a local copy of the corpus, folder or archive, used instead of downloading"
    )
    arguments = parser.parse_args()
    return obtain(name, archives, arguments.out / "download", arguments.source), arguments.out


def write_splits(folder: Path, splits: Mapping[str, Iterable[Utterance]]) -> None:
    """Writes `{split}.jsonl` for each, training last: make takes that file for the sign that all is there."""
    for name in sorted(splits, key=lambda name: name == "train"):
        write_manifest(folder / f"{name}.jsonl", splits[name])
