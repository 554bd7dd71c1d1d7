"""A time budget chooses model size, batches and epochs, and a resumed run keeps its plan."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import interrupted, train_config
from processes import run_asr

from asr.config import Config
from asr.nn.encoder import AcousticModel
from asr.training import budget, loop, schedule, sizes
from asr.training.data import TrainingData, open_data
from asr.training.recognition import RecognitionTask
from asr.training.train import train


@pytest.fixture
def data(tones: Path) -> TrainingData:
    return open_data(train_config(tones), lambda line: None)


@pytest.mark.parametrize(
    ("seconds", "size", "epochs", "said"),
    [
        (9000.0, (3, 320), 29, "29 epochs of about 300.0 s"),
        (900.0, (2, 192), 14, "2 layers of 192"),  # 300 s an epoch for the largest: 2 epochs, too few
        (30.0, (2, 96), 1, "too short"),
        (1e9, (3, 320), budget.MAX_EPOCHS, "100 epochs"),
    ],
)
def test_the_largest_size_with_enough_epochs(
    seconds: float,
    size: tuple[int, int],
    epochs: int,
    said: str,
    data: TrainingData,
    tones: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = dict(zip(sizes.SIZES, (20.0, 30.0, 60.0, 150.0, 300.0, 500.0, 900.0), strict=True))

    def epoch_seconds(task: object, batches: object, model: AcousticModel) -> float:
        return times[len(model.layers), model.size // 2]

    monkeypatch.setattr(budget, "epoch_seconds", epoch_seconds)
    monkeypatch.setattr(budget, "MIN_STEPS", 1)
    monkeypatch.setattr(type(data.training), "seconds", property(lambda corpus: 4 * 3600.0))
    lines: list[str] = []
    config = train_config(tones)
    task = RecognitionTask(config, data, torch.device("cpu"))
    planned = budget.within_budget(task, seconds, lines.append)
    assert ((planned.model.layers, planned.model.hidden), planned.training.epochs) == (size, epochs)
    assert said in lines[0]
    kept = config.model.model_dump() | {"layers": size[0], "hidden": size[1]}
    assert planned.model.model_dump() == kept  # nothing else


@pytest.mark.parametrize(("hidden", "utterances"), [(320, 32), (320, 16), (320, 8), (96, 8)])
def test_too_few_steps_make_batches_smaller_and_only_then_the_model(
    hidden: int, utterances: int, data: TrainingData, tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 20 * -(-len(data.training) // utterances)  # steps in 20 epochs
    monkeypatch.setattr(budget, "epoch_seconds", lambda *_: 9.0)
    monkeypatch.setattr(budget, "MIN_STEPS", steps if hidden == 320 else 2 * steps)
    monkeypatch.setattr(type(data.training), "seconds", property(lambda corpus: 4 * 3600.0))
    config = train_config(tones, batch_seconds=1000, batch_utterances=32)
    planned = budget.within_budget(RecognitionTask(config, data, torch.device("cpu")), 190.0, lambda line: None)
    assert (planned.model.hidden, planned.training.batch_utterances) == (hidden, utterances)
    assert planned.training.epochs == 20


def test_times_are_of_real_steps(data: TrainingData, tones: Path) -> None:
    config = train_config(tones)
    task = RecognitionTask(config, data, torch.device("cpu"))
    (batches,) = task.plans()[:1]
    models = [AcousticModel(num_bins=24, num_units=4, layers=n, hidden=hidden) for n, hidden in ((1, 16), (4, 512))]
    small, large = (budget.epoch_seconds(task, batches, model) for model in models)
    assert 0 < small < large / 3


class Clock:
    """A clock that only the work of a training run moves: some seconds for each batch and for each evaluation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, batch: Callable[[int], float], evaluation: float) -> None:
        self.now, self.batches = 0.0, 0
        real_gradients, real_evaluate = loop.Gradients.of, RecognitionTask.evaluate

        def of(gradients: loop.Gradients, of_batch: object) -> float:
            self.batches += 1
            self.now += batch(self.batches)
            return real_gradients(gradients, of_batch)

        def evaluate(task: RecognitionTask) -> dict:
            self.now += evaluation
            return real_evaluate(task)

        monkeypatch.setattr(loop.Gradients, "of", of)
        monkeypatch.setattr(RecognitionTask, "evaluate", evaluate)
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: self.now))


def without_time(log: list[dict]) -> list[dict]:
    measured = ("memory_mb", "load_share")
    return [{name: value for name, value in row.items() if name not in measured} for row in log]


@pytest.mark.parametrize(
    ("batch", "evaluation", "planned"),
    [
        (lambda number: 1.0, 10.0, 20),  # evaluation takes longer than was thought
        (lambda number: 0.5, 0.5, 8),  # the first steps were timed while something else ran
        (lambda number: 4.0 if 60 < number < 110 else 1.0, 1.0, 20),  # something else runs for a while
    ],
)
def test_epochs_are_planned_anew_so_that_the_run_ends_in_time(
    batch: Callable[[int], float], evaluation: float, planned: int, tones: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    budget_seconds, rates = 300.0, list[float]()
    config = train_config(tones, budget_minutes=budget_seconds / 60, epochs=planned, patience=100)
    task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
    clock = Clock(monkeypatch, batch, evaluation)

    def warmup_cosine(step: float, **settings: Any) -> float:
        rates.append(schedule.warmup_cosine(step, **settings))
        return rates[-1]

    monkeypatch.setattr(loop, "warmup_cosine", warmup_cosine)
    log = loop.fit(task, config.training, tmp_path)
    assert log[-1]["seconds"] == clock.now == pytest.approx(budget_seconds, rel=0.1)
    assert log[-1]["epoch"] == log[-1]["epochs"] != planned
    highest = int(np.argmax(rates))
    falling = np.diff(rates[highest:])
    assert rates[-1] < 0.02 and (falling <= 0).all() and falling.min() > -0.15  # to its end, without a jump


def test_a_plan_is_that_of_the_log_in_every_process_and_after_a_kill(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = train_config(tones, budget_minutes=1.0, epochs=4, patience=100)
    data = open_data(config, lambda line: None)

    def run(out: Path) -> list[dict]:
        with monkeypatch.context() as patch:
            Clock(patch, lambda number: 0.5, 0.5)
            torch.manual_seed(0)
            return loop.fit(RecognitionTask(config, data, torch.device("cpu")), config.training, out)

    whole = run(tmp_path / "whole")
    for after in (2, 1):
        with interrupted(monkeypatch, after=after):
            run(tmp_path / "killed")
    again = run(tmp_path / "killed")
    assert len(again) > 4 and without_time(again) == without_time(whole)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1]


def test_plans_that_nearly_fit_stay() -> None:
    log = [{"seconds": 30.0}, *({"seconds": 40.0 + 10 * n} for n in range(5))]
    assert budget.epochs_within(log, epochs=9, seconds=118.0) == 9  # 110 s, and some for the last pictures
    assert budget.epochs_within(log, epochs=9, seconds=200.0) == 17  # 11 epochs more
    assert budget.epochs_within(log, epochs=90, seconds=200.0) == 17
    assert budget.epochs_within(log, epochs=90, seconds=50.0) == 7  # the time is over: one epoch to end well
    assert budget.epochs_within(log, epochs=9, seconds=1e9) == budget.MAX_EPOCHS
    assert budget.epochs_within(log[:1], epochs=9, seconds=1e9) == 9  # the first epoch compiles code


def test_a_run_goes_on_with_the_plan_it_began_with(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(loop, "epochs_within", lambda log, epochs, seconds: epochs)
    monkeypatch.setattr(budget, "epoch_seconds", lambda *_: 6.0)
    whole = train_config(tones, budget_minutes=0.25)
    left_open = whole.model_dump(exclude={"augment": True, "model": {"dropout"}}, exclude_unset=True)
    config = Config.model_validate(left_open)
    with interrupted(monkeypatch, after=1):
        train(config, tmp_path)
    first = Config.load(tmp_path / "config.yaml")
    assert (first.model.layers, first.model.hidden, first.training.epochs) == (2, 96, 2)
    assert (first.model.dropout, first.augment.tempo, first.augment.frequency_masks) == (0.2, 0.1, 0)  # by the plan
    monkeypatch.setattr(budget, "epoch_seconds", lambda *_: 1.0)  # the machine is quicker by now
    train(config, tmp_path)
    assert Config.load(tmp_path / "config.yaml") == first
    assert "2 layers of 96, 2 epochs, as planned before" in capsys.readouterr().err
    train(config, tmp_path, overwrite=True)  # a new run has a new plan
    assert Config.load(tmp_path / "config.yaml").training.epochs == 14
    train(train_config(tones, budget_minutes=0.05), tmp_path, overwrite=True)  # and so has another budget
    assert Config.load(tmp_path / "config.yaml").training.budget_minutes == 0.05


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(tones: Path, tmp_path: Path) -> None:
    config = train_config(tones, epochs=7).to_yaml().replace("batch_utterances: 64\n", "batch_utterances: 8\n")
    (tmp_path / "words.yaml").write_text(config)
    done = run_asr("train", "words.yaml", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    time, memory = done.stdout.splitlines()
    assert re.fullmatch(
        r"7 epochs of 1[2-9] steps; an epoch takes about \d+ s, all epochs about \d+ s on this .*", time
    )
    found = re.fullmatch(
        r"memory: about (\d+\.\d) GB on c.*, with the largest batch: [1-8] utterances, \d s .*", memory
    )
    assert found and 0 < float(found[1]) < 4
    assert "2 x 32 bidirectional lstm" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words.yaml"]
    budgeted = run_asr("train", "words.yaml", "--dry-run", "--budget", "2s", cwd=tmp_path)
    assert "budget of 0.0333 minutes: 2 layers of 96," in budgeted.stderr and budgeted.stdout.count("\n") == 2
    (tmp_path / "runs" / "words").mkdir(parents=True)
    (tmp_path / "runs" / "words" / "model.safetensors").write_text("")
    refused = run_asr("train", "words.yaml", "--dry-run", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "") and "finished run" in refused.stderr


def test_times_on_the_command_line(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(train_config(tones).to_yaml())
    done = run_asr("train", "words.yaml", "--budget", "2s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "budget of 0.0333 minutes: 2 layers of 96," in done.stderr
    for wrong in ("20", "m", "-1m", "nanm", "1d"):
        assert (
            "must be a positive number with a unit: 90s"
            in run_asr("train", "words.yaml", f"--budget={wrong}", cwd=tmp_path).stderr
        )
