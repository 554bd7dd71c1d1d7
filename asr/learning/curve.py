"""How much more data would help: trainings on parts of the data, and what the errors of more data would be."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.config import Config
from asr.corpus.manifest import with_hypothesis, write_manifest
from asr.corpus.subsets import in_order
from asr.errors import ConfigError, TrainingError
from asr.files import to_json, write_whole
from asr.learning.power_law import Curve, curve
from asr.progress import format_duration
from asr.recognition.recognizer import load
from asr.scoring.bootstrap import clusters
from asr.scoring.wer import count_errors, score
from asr.training.budget import epoch_seconds
from asr.training.data import TrainingData, open_data, read_ids
from asr.training.evaluate import evaluate
from asr.training.folder import claimed
from asr.training.folds import is_trained, require_whole_epochs, train_once
from asr.training.hardware import processes
from asr.training.loop import MODEL_FILE
from asr.training.recognition import RecognitionTask
from asr.training.sizes import MAX_EPOCHS, sized
from asr.wording import counted

ALL = "all"
_SHARES = {"1-8": 1 / 8, "1-4": 1 / 4, "1-2": 1 / 2, ALL: 1.0}  # folder of each part, and its share of the audio
_FEWEST = 10  # utterances in a part
_LEAST_SIZES = 3  # parts that a curve is fitted to, at least
POINTS_FILE = "points.jsonl"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the training data: the name of its folder, its hours, its utterances, and a configuration for it."""

    name: str
    hours: float
    utterances: int
    config: Config


@dataclass(frozen=True, slots=True)
class Training:
    """A training on a part with one seed."""

    part: Part
    seed: int
    folder: Path

    @property
    def config(self) -> Config:
        """The configuration of the part, with the seed."""
        training = self.part.config.training.model_copy(update={"seed": self.seed})
        return self.part.config.model_copy(update={"training": training})


@dataclass(frozen=True, slots=True)
class Point:
    """Validation scores of one training, in percent."""

    part: str
    hours: float
    utterances: int
    seed: int
    epoch: int
    cer: float
    wer: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The trainings of all parts, smallest first, and the curves of both error rates."""

    points: list[Point]
    cer: Curve
    wer: Curve
    validation: str  # what the intervals are over: `395 utterances`


class Trainings:
    """The trainings that a curve needs, in a folder."""

    def __init__(self, config: Config, out: Path, *, seeds: int, say: Callable[[str], None]) -> None:
        """Divide the training data into nested parts, and write the list of each into its folder.

        Raises ConfigError for a configuration that cannot be divided, TrainingError for too few utterances, and the
        errors of `open_data`.
        """
        _require_divisible(config)
        self.out, self._say = out, say
        self.data = open_data(config, say)
        self._state = _state(self.data)
        self.trainings = [
            Training(part, config.training.seed + number, out / part.name / f"seed-{config.training.seed + number}")
            for part in _parts(config, self.data, out)
            for number in range(seeds)
        ]

    @property
    def hours(self) -> float:
        """The hours of all training data."""
        return self.trainings[-1].part.hours

    def seconds(self) -> list[float]:
        """Measure how long each training takes on this machine, all its epochs; 0 for one that is done."""
        of_parts: dict[str, float] = {}
        for one in self.trainings:
            if one.part.name not in of_parts and not self._is_done(one):
                of_parts[one.part.name] = _seconds(one.config)
        return [0.0 if self._is_done(one) else of_parts[one.part.name] for one in self.trainings]

    def run(self, expected: Sequence[float]) -> Measured:
        """Train what is not trained yet, score all models, and fit the curves.

        A repeated call resumes training where it stopped, and keeps models whose data and settings are unchanged.
        A part that is too small to learn from is left out, and named. `expected` are the results of `seconds`. Raises
        the errors of `train` if fewer than three parts are left.
        """
        with claimed(self.out):
            return self._run(expected)

    def _run(self, expected: Sequence[float]) -> Measured:
        begun, planned, left = time.monotonic(), 0.0, sum(expected)
        points: list[Point] = []
        parts, failed = {one.part.name for one in self.trainings}, set[str]()
        errors: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for number, (one, its_seconds) in enumerate(zip(self.trainings, expected, strict=True), start=1):
            if its_seconds:
                pace = (time.monotonic() - begun) / planned if planned else 1.0
                audio, rest = format_duration(3600 * one.part.hours), format_duration(left * pace)
                place = f"training {number} of {len(self.trainings)}"
                self._say(f"{place}: {audio} of audio, seed {one.seed}; about {rest} for all that are left")
            planned, left = planned + its_seconds, left - its_seconds
            if one.part.name in failed:
                continue
            try:
                train_once(one.config, one.folder, self._state)
            except TrainingError as error:  # a small part may be too little to learn from
                failed.add(one.part.name)
                errors.pop(one.part.name, None)
                if len(parts - failed) < _LEAST_SIZES or one.part.name == ALL:
                    raise
                self._say(f"{one.folder}: this part is left out of the curve: {error}")
                continue
            point, its_errors = self._score(one)
            points.append(point)
            errors.setdefault(one.part.name, []).append(its_errors)
        points = [point for point in points if point.part not in failed]
        write_whole(self.out / POINTS_FILE, "".join(f"{to_json(_row(point))}\n" for point in points).encode())
        hours = [next(one.hours for one in points if one.part == name) for name in errors]
        validation = self.data.validation.utterances
        drawn = clusters([utterance.speaker for utterance in validation])
        cer, wer = (
            curve(
                name,
                hours,
                np.array([[counts[column][:, 1] for counts in seeds] for seeds in errors.values()]),
                next(iter(errors.values()))[0][column][:, 0],
                drawn,
            )
            for column, name in enumerate(("CER", "WER"))
        )
        return Measured(points, cer, wer, str(drawn))

    def _is_done(self, one: Training) -> bool:
        return is_trained(one.config, one.folder, self._state)

    def _score(self, one: Training) -> tuple[Point, tuple[np.ndarray, np.ndarray]]:
        """Score a model; return also its errors and the lengths `(utterances, 2)`, in characters and in words."""
        model = load(one.folder / MODEL_FILE, processes().device)
        corpus = self.data.validation
        hypotheses = evaluate(model, corpus).hypotheses
        rows = [with_hypothesis(*pair) for pair in zip(corpus.utterances, hypotheses, strict=True)]
        write_manifest(one.folder / "validation.hyp.jsonl", rows)
        found = score([utterance.text or "" for utterance in corpus.utterances], hypotheses, interval=False)
        counts = [count_errors(alignment) for alignment in (found.characters, found.words)]
        point = Point(
            part=one.part.name,
            hours=one.part.hours,
            utterances=one.part.utterances,
            seed=one.seed,
            epoch=model.summary["epoch"],
            cer=found.cer.percent,
            wer=found.wer.percent,
        )
        characters, words = (np.stack([count[:, 0], count[:, 1:].sum(axis=1)], axis=1) for count in counts)
        return point, (characters, words)


def _row(point: Point) -> dict[str, object]:
    return {name: getattr(point, name) for name in Point.__slots__}


def _require_divisible(config: Config) -> None:
    require_whole_epochs(config, "asr curve")
    if config.training.budget_minutes is not None:
        raise ConfigError(
            "asr curve: compares trainings with the epochs that suit their data, so a time budget would spoil it; "
            "leave training.budget_minutes out, and set training.epochs to train for less time"
        )


def _parts(config: Config, data: TrainingData, out: Path) -> list[Part]:
    """Divide the data: each part holds the smaller ones, and about its share of the audio."""
    corpus = data.training
    lengths = dict(zip((u.id for u in corpus.utterances), corpus.num_samples / corpus.sample_rate, strict=True))
    ordered = [utterance.id for utterance in in_order(corpus.utterances)]
    ends = np.cumsum([lengths[identifier] for identifier in ordered])
    left_out = read_ids(config.data.exclude) if config.data.exclude is not None else set()
    parts = []
    for name, share in _SHARES.items():
        count = len(ordered) if share == 1 else int(np.searchsorted(ends, share * ends[-1], side="right"))
        if count < _FEWEST:
            continue
        its_config = _scaled(config, len(ordered) / count)
        if count < len(ordered):
            exclude = out / name / "exclude.txt"
            content = "".join(f"{identifier}\n" for identifier in sorted({*left_out, *ordered[count:]}))
            write_whole(exclude, content.encode())
            its_data = its_config.data.model_copy(update={"exclude": str(exclude)})
            its_config = its_config.model_copy(update={"data": its_data})
        parts.append(Part(name, float(ends[count - 1]) / 3600, count, its_config))
    if len(parts) < _LEAST_SIZES:
        raise TrainingError(
            f"asr curve: {counted('{} training utterance<s>', len(ordered))} cannot be divided into "
            f"{_LEAST_SIZES} parts of at least {_FEWEST}, a quarter, a half and all; record more first"
        )
    return parts


def _scaled(config: Config, factor: float) -> Config:
    """Return the configuration for a part of the data that is smaller by `factor`.

    Settings that the configuration leaves open are chosen for each part by training itself. Epochs that it sets are
    scaled, so that each part gets about as many steps, up to the most epochs that training would choose.
    """
    if "epochs" not in config.training.model_fields_set:
        return config
    epochs = config.training.epochs
    scaled = max(epochs, min(MAX_EPOCHS, round(epochs * factor)))
    return config.model_copy(update={"training": config.training.model_copy(update={"epochs": scaled})})


def _seconds(config: Config) -> float:
    """Measure the time of a training: of a few steps, times their number."""
    data = open_data(config, lambda line: None)
    its_config = sized(config, data, lambda line: None)
    task = RecognitionTask(its_config, data, processes().device)
    network = task.model.fresh_network(its_config.model).to(task.model.device)
    return its_config.training.epochs * epoch_seconds(task, task.plans(1)[0], network)


def _state(data: TrainingData) -> str:
    """Describe all data, so that models of other data are trained again."""
    corpora = ((corpus.num_samples.tolist(), corpus.utterances) for corpus in (data.training, data.validation))
    return repr([(lengths, [(u.id, u.text) for u in utterances]) for lengths, utterances in corpora])
