"""Suspect transcripts of a corpus, found by models that were not trained on them, and their page."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.config import Config
from asr.corpus.corpus import Corpus
from asr.errors import ConfigError
from asr.figures.page import audio_uri, write_page
from asr.files import write_whole
from asr.recognition.recognizer import load
from asr.scoring.alignment import edits
from asr.scoring.wer import score
from asr.suspects import Suspect, find_suspects, judge, open_corpus, require_judges, said_of_training
from asr.training.data import open_data
from asr.training.folds import cross_validate

PAGE_FILE, EXCLUDE_FILE = "suspects.html", "exclude.txt"


@dataclass(frozen=True, slots=True)
class Report:
    """The suspects of a corpus, the highest excess first, and the lines that sum them up."""

    suspects: list[Suspect]
    lines: list[str]


def report_by_training(
    config: Path, overrides: Sequence[str], out: Path, *, folds: int, show: int, say: Callable[[str], None]
) -> Report:
    """Judge the training data of a configuration file by cross-validation; write page and list of ids into `out`.

    Each of `folds` parts is judged by a model trained on the other parts. At least `show` utterances are shown.
    Raises ConfigError if models of this configuration cannot judge transcripts.
    """
    settings = Config.load(config, list(overrides))
    require_judges(settings)
    if settings.data.is_streamed:
        raise ConfigError(
            f"{config}: its training data is streamed, and cross-validation needs packed data; judge a manifest with a "
            "trained model: asr suspects MODEL MANIFEST"
        )
    data = open_data(settings, say)
    parts = cross_validate(settings, data, out, folds, say)
    judged = [(model, found) for model, indices in parts for found in judge(model, data.training, indices)]
    suspects, fence = find_suspects(judged, data.training, show)
    judges = f"{folds} models, each utterance by a model that was not trained on it"
    return _write(out, data.training, suspects, fence, num_judged=len(judged), judges=judges, source=config)


def report_by_model(model: Path, manifest: Path, out: Path, *, show: int, say: Callable[[str], None]) -> Report:
    """Judge the transcripts of a manifest by a trained model; write page and list of ids into `out`.

    At least `show` utterances are shown. Raises ConfigError for a model without CTC.
    """
    recognizer = load(model)
    with tempfile.TemporaryDirectory(prefix="asr-") as temporary:
        corpus = open_corpus(recognizer, manifest, Path(temporary), say)
        judged = [(recognizer, found) for found in judge(recognizer, corpus, list(range(len(corpus))))]
        suspects, fence = find_suspects(judged, corpus, show)
        judges = f"{model}; {said_of_training(recognizer, corpus.utterances)}"
        return _write(out, corpus, suspects, fence, num_judged=len(judged), judges=judges, source=manifest)


def _write(
    out: Path,
    corpus: Corpus,
    suspects: list[Suspect],
    fence: float,
    *,
    num_judged: int,
    judges: str,
    source: Path,
) -> Report:
    outliers = [suspect.utterance.id for suspect in suspects if suspect.stands_out]
    lines = [
        f"{num_judged} utterances judged by {judges}",
        f"outliers, with an excess loss above {fence:.2f} nats per unit: {len(outliers)}, "
        f"listed in {out / EXCLUDE_FILE}",
    ]
    _write_page(out / PAGE_FILE, corpus, suspects, lines, f"Suspect transcripts of {source}")
    write_whole(out / EXCLUDE_FILE, "".join(f"{identifier}\n" for identifier in outliers).encode())
    return Report(suspects, lines)


def _write_page(path: Path, corpus: Corpus, suspects: Sequence[Suspect], lines: Sequence[str], title: str) -> None:
    texts = [suspect.utterance.text or "" for suspect in suspects]
    steps = edits(score(texts, [suspect.heard for suspect in suspects], interval=False).words)
    sounds = (audio_uri(corpus.audio(suspect.index), corpus.sample_rate) for suspect in suspects)
    write_page(
        path, "suspects.html", title=title, lines=lines, suspects=list(zip(suspects, steps, sounds, strict=True))
    )
