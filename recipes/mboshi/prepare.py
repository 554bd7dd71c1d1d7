"""Mboshi -> manifests: the official split; a hash of the texts moves a tenth of training to validation.

The text is `.mb.cleaned` (lower case, no punctuation); the French translation in `.fr` becomes the field `translation`.
Elicited sentences occur several times, and the hash of the text keeps each sentence in one split.
"""

from pathlib import Path

import soundfile

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.recipe import open_corpus, write_splits
from asr.corpus.split import split
from asr.errors import ManifestError
from asr.utterance import Utterance

# No checksum: the host makes the archive of a branch at each download, so its bytes may change.
ARCHIVES = [Archive("https://github.com/besacier/mboshi-french-parallel-corpus/archive/refs/heads/master.tar.gz")]
AUDIO = (".wav", ".opus", ".flac")  # the source has WAV; smaller copies have the other formats
VALIDATION = 0.1  # share of the training texts


def main() -> None:
    source, out = open_corpus("mboshi", __doc__, ARCHIVES)
    validation, train = split(read_part(source, "train"), (VALIDATION, 1 - VALIDATION), by=lambda u: u.text or "")
    write_splits(out, {"train": train, "validation": validation, "test": read_part(source, "dev")})


def read_part(source: Path, part: str) -> list[Utterance]:
    """Read the utterances of `full_corpus_newsplit/{part}`, at any depth below `source`.

    Raises ManifestError if there are none, or a recording is missing.
    """
    texts = sorted(source.glob(f"**/full_corpus_newsplit/{part}/*.mb.cleaned"))
    if not texts:
        raise ManifestError(
            f"{source}: holds no full_corpus_newsplit/{part}/*.mb.cleaned; give the folder of the Mboshi corpus"
        )
    return [describe(path) for path in texts]


def describe(text: Path) -> Utterance:
    """Return the utterance with the transcript `{speaker}_{date}_….mb.cleaned`."""
    stem = text.name.removesuffix(".mb.cleaned")
    audio = next((path for suffix in AUDIO if (path := text.with_name(stem + suffix)).is_file()), None)
    if audio is None:
        raise ManifestError(f"{text}: has no recording beside it ({' or '.join(AUDIO)}); download the corpus again")
    return Utterance(
        id=stem,
        audio=audio,
        text=text.read_text(encoding="utf-8").strip(),
        duration=soundfile.info(audio).duration,
        speaker=stem.split("_")[0],
        extra={"translation": text.with_name(stem + ".fr").read_text(encoding="utf-8").strip()},
    )


if __name__ == "__main__":
    run(main)
