"""Common Voice, any language -> manifests: the official train, dev and test, from an archive that you downloaded."""

from asr.cli import run
from asr.corpus.prepare import describe, prepare
from asr.corpus.recipe import open_corpus


def main() -> None:
    source, out = open_corpus("commonvoice", __doc__, [])
    print(*describe(prepare(source, out, format="common-voice"), out), sep="\n")


if __name__ == "__main__":
    run(main)
