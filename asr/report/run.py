"""What came of a training run, as one page: learning curves, the score and its anatomy, utterances to listen to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.corpus.manifest import json_rows
from asr.corpus.pack import PackedCorpus
from asr.errors import AsrError
from asr.figures.figures import learning_curves, utterance_picture
from asr.figures.page import audio_uri, write_page
from asr.files import read_text
from asr.recognition.recognizer import Recognizer, load
from asr.run_log import Row
from asr.scoring.alignment import Edit, confusions, edits, missed
from asr.scoring.anatomy import by_length, by_level, by_training
from asr.scoring.files import Pair, group_by, score_pairs
from asr.scoring.tables import Table
from asr.scoring.wer import Score, count_errors
from asr.training.data import open_data
from asr.training.evaluate import evaluate
from asr.training.loop import BEST_FILE, LOG_FILE, MODEL_FILE

_WORST, _MEDIAN = 5, 3  # utterances


@dataclass(frozen=True, slots=True)
class Shown:
    """An utterance to look at and to listen to: its CER in percent, its word edits, sound and picture as data URIs."""

    pair: Pair
    cer: float
    steps: list[Edit]
    audio: str
    picture: str


def write_report(run: Path, path: Path) -> None:
    """Writes the page of a run, also while it trains: its model, or the best so far, on its validation data.

    Raises AsrError where the run has no model or log yet, or as opening the data does.
    """
    log = _read_log(run / LOG_FILE)
    recognizer = load(run / MODEL_FILE if (run / MODEL_FILE).exists() else run / BEST_FILE)
    notes: list[str] = []
    data = open_data(recognizer.config, notes.append)
    corpus = data.validation
    heard = evaluate(recognizer, corpus).hypotheses
    pairs = [Pair(u.id, u.text or "", text, u.speaker, u) for u, text in zip(corpus.utterances, heard, strict=True)]
    score = score_pairs(pairs)
    rates, order = _ranked(score)
    middle = max(0, len(order) // 2 - _MEDIAN // 2)
    groups = {"worst": order[:_WORST], "median": order[middle : middle + _MEDIAN]}
    steps = list(edits(score.words))
    write_page(
        path,
        "run.html",
        title=f"Training run {run.resolve().name}",
        score=score,
        lines=[*_facts(recognizer), *(f"{rate}; {recognizer.normalizer}" for rate in (score.cer, score.wer))],
        curves=learning_curves(log),
        notes=notes,
        tables=list(_tables(score, pairs, [utterance.text or "" for utterance in data.training.utterances])),
        groups={
            name: [_shown(recognizer, corpus, pairs[index], rates[index], steps[index], index) for index in chosen]
            for name, chosen in groups.items()
        },
    )


def _read_log(path: Path) -> list[Row]:
    rows = [row for _, row in json_rows(read_text(path))]
    if not rows or any(isinstance(row, ValueError) for row in rows):
        raise AsrError(f"{path}: holds no whole epochs; wait for the first, or train again")
    return rows


def _facts(recognizer: Recognizer) -> Iterator[str]:
    """What the model is, and what it was trained on."""
    facts, model = recognizer.summary, recognizer.config.model
    yield (
        f"{model.layers} x {model.hidden} {'bidirectional ' if model.bidirectional else ''}{model.cell}, "
        f"{len(recognizer.units)} units with blank"
    )
    yield (
        f"trained on {facts['training_utterances']} utterances ({facts['training_hours']:.2f} h), validated on "
        f"{facts['validation_utterances']}; epoch {facts['epoch']} kept, seed {facts['seed']}, "
        f"commit {facts['git_commit'] or 'unknown'}"
    )


def _ranked(score: Score) -> tuple[np.ndarray, list[int]]:
    """The CER of each utterance in percent, and their indices from the worst on, of equals the one of more errors."""
    lengths, *kinds = count_errors(score.characters).T
    errors = np.sum(kinds, axis=0)
    rates = 100 * errors / np.maximum(lengths, 1)
    return rates, np.lexsort((-errors, -rates)).tolist()


def _tables(score: Score, pairs: Sequence[Pair], training: Sequence[str]) -> Iterator[Table]:
    yield from by_training(score, training)
    yield by_length(score)
    yield by_level(score, pairs)
    if len({pair.speaker for pair in pairs} - {None}) > 1 and all(pair.speaker for pair in pairs):
        rates = {name: score_pairs(group).wer for name, group in group_by(pairs, "speaker").items()}
        rows = [(name, rate.total, rate.errors, rate.percent) for name, rate in rates.items()]
        yield Table("Speakers", ("speaker", "words", "errors", "%"), rows)
    yield from (confusions(score.words), confusions(score.characters), missed(score.words))


def _shown(
    recognizer: Recognizer, corpus: PackedCorpus, pair: Pair, rate: float, steps: list[Edit], index: int
) -> Shown:
    samples = corpus.audio(index)
    audio = audio_uri(samples, corpus.sample_rate)
    return Shown(pair, float(rate), steps, audio, utterance_picture(recognizer, samples))
