"""The page of suspect transcripts: each with its reasons, the difference to what is heard, and a player."""

from collections.abc import Sequence
from pathlib import Path

from asr.corpus.pack import PackedCorpus
from asr.figures.page import audio_uri, write_page
from asr.scoring.alignment import edits
from asr.scoring.wer import score
from asr.suspects import Suspect


def write_suspects(
    path: Path, corpus: PackedCorpus, suspects: Sequence[Suspect], lines: Sequence[str], title: str
) -> None:
    """Writes the page; `lines` are said above the suspects, which are utterances of `corpus`, in their order."""
    texts = [suspect.utterance.text or "" for suspect in suspects]
    steps = edits(score(texts, [suspect.heard for suspect in suspects], interval=False).words)
    sounds = (audio_uri(corpus.audio(suspect.index), corpus.sample_rate) for suspect in suspects)
    write_page(
        path, "suspects.html", title=title, lines=lines, suspects=list(zip(suspects, steps, sounds, strict=True))
    )
