"""LJ Speech -> manifests: the normalised text; by a hash of the ids, 90 % for training, 5 % validation, 5 % test."""

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.prepare import describe, prepare
from asr.corpus.recipe import open_corpus

# The checksum is from torchaudio.datasets.LJSPEECH.
ARCHIVES = [
    Archive(
        "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
        checksum="sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
        size=2_748_572_632,
    )
]
SHARES = (0.9, 0.05, 0.05)  # there is no official split


def main() -> None:
    source, out = open_corpus("ljspeech", __doc__, ARCHIVES)
    print(*describe(prepare(source, out, format="ljspeech", fractions=SHARES), out), sep="\n")


if __name__ == "__main__":
    run(main)
