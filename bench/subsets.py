"""Nested subsets of a corpus, for measurements at several amounts of data.

`train5.jsonl` and `train20.jsonl` hold at most 5 and 20 minutes of the recordings in MANIFEST, and the first is part of
the second: utterances are taken in the order of the SHA-256 of their ids. With `--hold-out 6`, the first 6 minutes
become `validation.jsonl`, and no subset holds them. `--by text` takes whole texts, so that validation repeats no text
of training.
"""

import argparse
from pathlib import Path

from asr.cli import run
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.subsets import first, hold_out, in_order, seconds
from asr.utterance import Utterance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", nargs="+", help="manifests of the corpus; every line states its duration")
    parser.add_argument("-o", "--out", required=True, type=Path, help="folder for the subsets")
    parser.add_argument("--minutes", type=int, nargs="*", default=[], help="sizes of the subsets (default: none)")
    parser.add_argument("--hold-out", type=float, default=0, help="minutes of validation (default: 0, no file)")
    parser.add_argument("--by", choices=("id", "text"), default="id", help="what is held out whole (default: id)")
    options = parser.parse_args()

    utterances = [utterance for path in options.manifest for utterance in read_manifest(path)]
    held_out = hold_out(utterances, options.hold_out, options.by)
    if held_out:
        write_manifest(options.out / "validation.jsonl", held_out)
        print(f"validation: {describe(held_out)}")
    taken = {utterance.id for utterance in held_out}
    rest = in_order(utterance for utterance in utterances if utterance.id not in taken)
    for minutes in options.minutes:
        subset = first(rest, minutes)
        write_manifest(options.out / f"train{minutes}.jsonl", subset)
        print(f"train{minutes}: {describe(subset)}")


def describe(utterances: list[Utterance]) -> str:
    return f"{len(utterances)} utterances, {seconds(utterances) / 60:.1f} minutes"


if __name__ == "__main__":
    run(main)
