"""The common parts of the `prepare.py` of every recipe: options, source of the corpus, manifests."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asr.corpus.download import Archive, obtain
from asr.corpus.manifest import write_manifest
from asr.utterance import Utterance


def open_corpus(name: str, description: str, archives: Sequence[Archive]) -> tuple[Path, Path]:
    """Read `--out` and `--source`; return the folder of the corpus (see `obtain`) and the folder for manifests."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("data") / name,
        help="folder for manifests and downloads (default: %(default)s)",
    )
    parser.add_argument(
        "--source",
        type=Path,
        help="folder or archive with a local copy of the corpus (default: $ASR_CORPORA/NAME, or download it)",
    )
    arguments = parser.parse_args()
    return obtain(name, archives, arguments.out / "download", arguments.source), arguments.out


def write_splits(folder: Path, splits: Mapping[str, Iterable[Utterance]]) -> None:
    """Write `{split}.jsonl` for each split; training is last, because make takes that file as the sign of success."""
    for name in sorted(splits, key=lambda name: name == "train"):
        write_manifest(folder / f"{name}.jsonl", splits[name])
