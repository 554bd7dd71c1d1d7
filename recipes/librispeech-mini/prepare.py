"""Mini LibriSpeech -> manifests: train-clean-5 for training, dev-clean-2 for validation, all of test-clean for test."""

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.readers.librispeech import read_part
from asr.corpus.recipe import open_corpus, write_splits

# The MD5 checksums are published at openslr.org/31. The checksum of test-clean is from torchaudio.datasets.LIBRISPEECH.
ARCHIVES = [
    Archive(
        "https://www.openslr.org/resources/31/train-clean-5.tar.gz",
        checksum="md5:5df7d4e78065366204ca6845bb08f490",
        size=332_954_390,
    ),
    Archive(
        "https://www.openslr.org/resources/31/dev-clean-2.tar.gz",
        checksum="md5:6d7ab67ac6a1d2c993d050e16d61080d",
        size=126_046_265,
    ),
    Archive(
        "https://www.openslr.org/resources/12/test-clean.tar.gz",
        checksum="sha256:39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
        size=346_663_984,
    ),
]
PARTS = {"train": "train-clean-5", "validation": "dev-clean-2", "test": "test-clean"}


def main() -> None:
    source, out = open_corpus("librispeech-mini", __doc__, ARCHIVES)
    write_splits(out, {split: read_part(source, part) for split, part in PARTS.items()})


if __name__ == "__main__":
    run(main)
