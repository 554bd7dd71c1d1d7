"""Mboshi -> manifests: the official split, with validation carved out of training by a hash of the text.

The text is `.mb.cleaned` (lower case, no punctuation); `.fr`, the French translation, is kept beside it. No sentence
of training is in validation: elicited sentences come several times.
"""

from pathlib import Path

import soundfile

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.recipe import open_corpus, write_splits
from asr.corpus.split import split
from asr.errors import ManifestError
from asr.utterance import Utterance

# The archive of a branch is made by the host when asked for, so its bytes may change: no checksum.
ARCHIVES = [Archive("https://github.com/besacier/mboshi-french-parallel-corpus/archive/refs/heads/master.tar.gz")]
AUDIO = (".wav", ".opus", ".flac")  # WAV at the source, others in smaller copies
VALIDATION = 0.1


def main() -> None:
    source, out = open_corpus("mboshi", __doc__, ARCHIVES)
    validation, train = split(read_part(source, "train"), (VALIDATION, 1 - VALIDATION), by=lambda u: u.text or "")
    write_splits(out, {"train": train, "validation": validation, "test": read_part(source, "dev")})


def read_part(source: Path, part: str) -> list[Utterance]:
    """The utterances of `full_corpus_newsplit/{part}` somewhere below `source`. Raises ManifestError for gaps."""
    texts = sorted(source.glob(f"**/full_corpus_newsplit/{part}/*.mb.cleaned"))
    if not texts:
        raise ManifestError(f"{source}: holds no full_corpus_newsplit/{part}/*.mb.cleaned; is it the Mboshi corpus?")
    return [describe(path) for path in texts]


def describe(text: Path) -> Utterance:
    """The utterance whose transcript is `{speaker}_{date}_….mb.cleaned`."""
    stem = text.name.removesuffix(".mb.cleaned")
    audio = next((path for suffix in AUDIO if (path := text.with_name(stem + suffix)).is_file()), None)
    if audio is None:
        raise ManifestError(f"{text}: has no recording beside it ({' or '.join(AUDIO)}); fetch the corpus again")
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
