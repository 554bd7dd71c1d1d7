"""LibriSpeech -> manifests: train-clean-100 for training, dev-clean for validation, test-clean for test."""

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.readers.librispeech import read_part
from asr.corpus.recipe import open_corpus, write_splits

# The checksums are from torchaudio.datasets.LIBRISPEECH.
ARCHIVES = [
    Archive(
        "https://www.openslr.org/resources/12/dev-clean.tar.gz",
        checksum="sha256:76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
        size=337_926_286,
    ),
    Archive(
        "https://www.openslr.org/resources/12/test-clean.tar.gz",
        checksum="sha256:39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
        size=346_663_984,
    ),
    Archive(
        "https://www.openslr.org/resources/12/train-clean-100.tar.gz",
        checksum="sha256:d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
        size=6_387_309_499,
    ),
]
PARTS = {"train": "train-clean-100", "validation": "dev-clean", "test": "test-clean"}


def main() -> None:
    source, out = open_corpus("librispeech", __doc__, ARCHIVES)
    write_splits(out, {split: read_part(source, part) for split, part in PARTS.items()})


if __name__ == "__main__":
    run(main)
