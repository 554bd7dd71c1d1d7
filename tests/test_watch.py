"""Warnings in training: a model that ignores the audio, gradient norms, and epoch lines."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from asr.errors import TrainingError
from asr.run_log import kept_row, stop_reason
from asr.training import watch
from asr.training.language import LanguageTask
from asr.training.recognition import RecognitionTask
from asr.training.watch import (
    MIN_STEPS,
    audio_warning,
    ctc_baseline_loss,
    epoch_lines,
    format_loss,
    gradient_norms,
    stop_if_audio_ignored,
)


def constant_loss(share: float, frames: int, target: list[int]) -> float:
    """Sum over all paths, from the definition; all units but blank are equally probable."""
    p = [share, (1 - share) / 2, (1 - share) / 2]
    total = 0.0
    for path in itertools.product(range(3), repeat=frames):
        merged = [unit for unit, _ in itertools.groupby(path)]
        if [unit for unit in merged if unit] == target:
            total += float(np.prod([p[unit] for unit in path]))
    return -np.log(total) / len(target)


def test_the_baseline_of_ctc_is_the_best_constant_distribution() -> None:
    # Units 1 and 2 are equally frequent, so one number, the share of blank, describes the best distribution.
    found = ctc_baseline_loss([5, 5], [[1, 2], [2, 1]], 3)
    best = min(constant_loss(share, 5, [1, 2]) for share in np.linspace(0.01, 0.99, 197))
    assert found == pytest.approx(best, abs=2e-3)


def test_thousands_of_units_cost_no_more_than_those_of_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = watch.ctc_loss, set()

    def spy(log_probs: torch.Tensor, *arguments: Any) -> torch.Tensor:
        sizes.add(log_probs.shape[2])
        return real(log_probs, *arguments)

    monkeypatch.setattr(watch, "ctc_loss", spy)
    texts = [[1, 2], [2, 1, 1], [1]]
    few = ctc_baseline_loss([5, 7, 4], texts, 3)
    assert ctc_baseline_loss([5, 7, 4], [[3000 + unit for unit in text] for text in texts], 4000) == pytest.approx(
        few, abs=2e-3
    )
    assert sizes == {3}


def row(epoch: int, loss: float) -> dict:
    return {"epoch": epoch, "validation_loss": loss, "no_listening_loss": 3.0}


def test_only_a_model_that_ignores_the_audio_is_stopped() -> None:
    ignores, uses = [row(epoch, 2.9) for epoch in range(1, 9)], [row(1, 2.9), row(2, 2.0), row(3, 2.9)]
    with pytest.raises(TrainingError, match=r"ignores the audio: after 8 epochs .* 2.900, .* 3.000"):
        stop_if_audio_ignored(ignores, epochs=16, step=MIN_STEPS)
    stop_if_audio_ignored(ignores, epochs=16, step=MIN_STEPS - 1)
    stop_if_audio_ignored(ignores, epochs=17, step=MIN_STEPS)
    stop_if_audio_ignored(uses, epochs=3, step=MIN_STEPS)


@pytest.mark.parametrize(
    ("training", "validation", "expected"),
    [
        (0.8, 0.8, ""),
        (0.1, 0.8, ""),
        (0.1, 2.0, "memorises the training utterances; it does not recognise other utterances"),
        (0.9, 2.0, "does not use the audio yet; this is normal until about epoch 15"),
    ],
)
def test_warnings_follow_from_both_losses(training: float, validation: float, expected: str) -> None:
    row = {"epoch": 2, "step": 200, "train_loss": training, "validation_loss": validation, "no_listening_loss": 1.0}
    assert audio_warning(row, epochs=20) == expected
    assert len("    " + expected) <= 80
    assert audio_warning(row, epochs=2) == ""  # the verdict follows


def test_a_run_with_few_steps_is_told_so() -> None:
    row = {"epoch": 1, "step": 8, "train_loss": 2.9, "validation_loss": 2.9, "no_listening_loss": 3.0}
    expected = "does not use the audio yet; 1500 steps may be needed, this run has 80"
    assert audio_warning(row, epochs=10) == expected
    assert len("    " + expected) <= 80


@pytest.mark.parametrize(
    ("loss", "text"),
    [(12.3456, "12.346"), (0.75912, "0.759"), (0.1, "0.100"), (0.0123, "0.0123"), (0.000412, "0.000412")],
)
def test_losses_keep_significant_digits(loss: float, text: str) -> None:
    assert format_loss(loss) == text
    assert format_loss(float("nan")) == "nan"


def test_epoch_lines_fit_80_columns_and_know_the_time_left_only_if_it_is_known() -> None:
    row = {"epoch": 100, "seconds": 39000.0, "train_loss": 0.000412, "load_share": 0.35, "validation_loss": 0.000398}
    scores = RecognitionTask.line(None, {**row, "cer": 100.0, "wer": 100.0})  # type: ignore[arg-type]
    lines = epoch_lines(row, scores, epochs=100, best=True, remaining=39000.0, warning="a warning").split("\n")
    assert lines == [
        "epoch 100/100  loss 0.000412  validation loss 0.000398  CER 100.00  WER 100.00",
        "    10 h 50 min, about 10 h 50 min left; best so far; 35% of it loading audio",
        "    a warning",
    ]
    assert max(map(len, lines)) <= 80
    scores = LanguageTask.line(None, {"perplexity": 12345.67, "ngram_perplexity": 12345.67})  # type: ignore[arg-type]
    assert len(epoch_lines(row, scores, epochs=100, best=True, remaining=None).split("\n")[0]) <= 80
    row = {**row, "epoch": 1, "seconds": 61.0, "load_share": 0.01, "samples": [["a b", "a"]]}
    lines = epoch_lines(row, "errors 1.00 %", epochs=12, best=False, remaining=None).split("\n")
    assert lines == ["epoch  1/12  loss 0.000412  errors 1.00 %", "    1 min 01 s", "    'a b' recognised as 'a'"]


def test_why_a_run_stopped() -> None:
    limits = {"epochs": 5, "patience": 2}
    log = [{"epoch": epoch, "cer": cer} for epoch, cer in enumerate((9.0, 5.0, 6.0, 5.0, 4.0), start=1)]
    assert [stop_reason(log[:count], **limits) for count in range(4)] == [None] * 4
    assert stop_reason(log[:4], **limits) == "no better validation CER for 2 epochs"
    assert stop_reason(log, **limits) == "all 5 epochs are done"
    assert stop_reason([*log[:2], {**log[2], "stopped": "error: of some kind"}], **limits) == "error: of some kind"


def test_gradient_norms_add_up() -> None:
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(2))})
    model["out"] = torch.nn.Linear(3, 1)
    x = torch.randn(5, 3)
    model["out"](model["layers"][1](model["layers"][0](x))).sum().backward()
    norms = gradient_norms(model, scale=2.0)
    assert list(norms) == ["layers.0", "layers.1", "out"]
    whole = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    assert np.hypot.reduce(list(norms.values())) == pytest.approx(2 * float(whole), rel=1e-6)


def test_of_equal_errors_the_lowest_loss_is_kept() -> None:
    """Then the latest epoch; a loss that is not a number counts as the highest."""
    rows = [(5.0, 1.0), (2.0, 0.9), (2.0, 0.7), (2.0, float("nan")), (2.0, 0.8), (3.0, 0.1)]
    log = [{"epoch": n, "cer": cer, "validation_loss": loss} for n, (cer, loss) in enumerate(rows, 1)]
    assert kept_row(log)["epoch"] == 3
    assert kept_row(log[:2] + log[3:4])["epoch"] == 2
    alike = [{"epoch": n, "perplexity": 4.0} for n in (1, 2, 3)]
    assert kept_row(alike, "perplexity")["epoch"] == 3
