"""The page of a training run: learning curves, the score, where the errors are, utterances to see and to play."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.corpus.pack import PackedCorpus
from asr.figures.curves import learning_curves
from asr.figures.page import audio_uri, write_page
from asr.figures.style import Picture
from asr.figures.utterance import utterance_picture
from asr.recognition.recognizer import Recognizer, load
from asr.report.score import MAX_SHOWN
from asr.run_log import LOG_FILE, read_log, stop_reason
from asr.scoring.alignment import Edit, confusions, edits, missed
from asr.scoring.anatomy import by_length, by_level, by_training
from asr.scoring.files import Pair, group_by, score_pairs
from asr.scoring.tables import Table
from asr.scoring.wer import Score, count_errors
from asr.training.data import open_data, some_texts
from asr.training.evaluate import evaluate
from asr.training.loop import BEST_FILE, MODEL_FILE

_WORST, _MEDIAN = 5, 3  # utterances with picture and recording


@dataclass(frozen=True, slots=True)
class ScoredUtterance:
    """One utterance: reference and hypothesis, number of words and of word errors, CER in percent, word edits."""

    pair: Pair
    words: int
    errors: int
    cer: float
    steps: list[Edit]


@dataclass(frozen=True, slots=True)
class ShownUtterance:
    """An utterance to see and to play: its CER in percent, its word edits, its recording as a data URI, its picture."""

    pair: Pair
    cer: float
    steps: list[Edit]
    audio: str
    picture: Picture


def write_report(run: Path, path: Path) -> None:
    """Write the page of a run: its model, or the best model so far while it trains, on its validation data.

    Raises AsrError if the run has no model or log yet, or if its data cannot be opened.
    """
    log = read_log(run / LOG_FILE)
    recognizer = load(run / MODEL_FILE if (run / MODEL_FILE).exists() else run / BEST_FILE)
    notes: list[str] = []
    training = recognizer.config.training
    data = open_data(recognizer.config, notes.append)
    corpus = data.validation
    hypotheses = evaluate(recognizer, corpus).hypotheses
    pairs = [
        Pair(u.id, u.text or "", text, u.speaker, u) for u, text in zip(corpus.utterances, hypotheses, strict=True)
    ]
    score = score_pairs(pairs)
    utterances, order = _ranked(score, pairs)
    middle = max(0, len(order) // 2 - _MEDIAN // 2)
    groups = {
        "Utterances with the highest CER": order[:_WORST],
        "Utterances with the median CER": order[middle : middle + _MEDIAN],
    }
    write_page(
        path,
        "run.html",
        title=f"Training run {run.resolve().name}",
        score=score,
        lines=[*_facts(recognizer), *(f"{rate}; {recognizer.normalizer}" for rate in (score.cer, score.wer))],
        stopped=stop_reason(log, epochs=training.epochs, patience=training.patience),
        curves=learning_curves(log),
        notes=notes,
        tables=list(_tables(score, pairs, some_texts(data.training))),
        groups={
            name: [_shown(recognizer, corpus, utterances[index], index) for index in chosen]
            for name, chosen in groups.items()
        },
        utterances=[utterances[index] for index in order[:MAX_SHOWN]],
        omitted=len(order[MAX_SHOWN:]),
    )


def _facts(recognizer: Recognizer) -> Iterator[str]:
    """Give lines on the size of the model and on its training."""
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


def _ranked(score: Score, pairs: Sequence[Pair]) -> tuple[list[ScoredUtterance], list[int]]:
    """Return the utterances, and their indices from the highest CER to the lowest; at equal CER, more errors first."""
    lengths, *kinds = count_errors(score.characters).T
    errors = np.sum(kinds, axis=0)
    rates = 100 * errors / np.maximum(lengths, 1)
    counts = count_errors(score.words)
    columns = (pairs, counts[:, 0].tolist(), counts[:, 1:].sum(axis=1).tolist(), rates.tolist(), edits(score.words))
    utterances = [ScoredUtterance(*values) for values in zip(*columns, strict=True)]
    return utterances, np.lexsort((-errors, -rates)).tolist()


def _tables(score: Score, pairs: Sequence[Pair], training: Sequence[str]) -> Iterator[Table]:
    yield from by_training(score, training)
    yield by_length(score)
    yield by_level(score, pairs)
    if len({pair.speaker for pair in pairs} - {None}) > 1 and all(pair.speaker for pair in pairs):
        rates = {name: score_pairs(group).wer for name, group in group_by(pairs, "speaker").items()}
        rows = [(name, rate.total, rate.errors, rate.percent) for name, rate in rates.items()]
        yield Table("Speakers", ("speaker", "words", "errors", "%"), rows)
    yield from (confusions(score.words), confusions(score.characters), missed(score.words))


def _shown(recognizer: Recognizer, corpus: PackedCorpus, scored: ScoredUtterance, index: int) -> ShownUtterance:
    samples = corpus.audio(index)
    audio = audio_uri(samples, corpus.sample_rate)
    return ShownUtterance(scored.pair, scored.cer, scored.steps, audio, utterance_picture(recognizer, samples))
