"""The verdict on a finished run, and the measurements that it quotes."""

import re

import pytest
from conftest import REPOSITORY

from asr.corpus.expectation import MEASURED, comparison
from asr.training.verdict import verdict
from asr.training.watch import MIN_STEPS


def rows(*losses: tuple[float, float], steps: int = 1000) -> list[dict]:
    """Return a log with these training and validation losses; a model that ignores the audio reaches 3."""
    return [
        {"epoch": n, "step": steps * n, "train_loss": train, "validation_loss": loss, "no_listening_loss": 3.0}
        for n, (train, loss) in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (rows((2.0, 2.9), (0.5, 0.6)), r"it learned \(validation loss 0\.600; a model that ignores the audio"),
        (rows((1.0, 1.0), (0.5, 0.8), (0.1, 1.2)), "from epoch 3 on it learned its training utterances by heart"),
        (rows((1.0, 1.0), (0.1, 0.001), (0.1, 0.002)), r"it learned \(validation loss 0\.001.*; .* reaches 3\.000\)$"),
        (rows((2.0, 2.9), (0.5, 3.6)), "it learned its training utterances by heart, and recognises no others"),
        (rows((3.1, 3.0), (3.0, 2.9), steps=30), f"60 steps are few, models often need {MIN_STEPS}: continue"),
        (rows((3.1, 3.0), (3.0, 2.9)), "it never used the audio .* run `asr selftest` on the training manifest"),
    ],
)  # fmt: skip
def test_the_verdict_follows_from_the_losses(log: list[dict], expected: str) -> None:
    said = verdict(log, min(log, key=lambda row: row["validation_loss"]))
    assert said.startswith("verdict: ")
    assert re.search(expected, said)


def test_a_model_that_writes_nothing_has_not_learned() -> None:
    log = rows((2.0, 2.5), (1.5, 1.9))
    for row, cer in zip(log, (100.0, 97.3), strict=True):
        row["validation_cer"] = cer
    said = verdict(log, log[-1])
    assert "begun to use the audio" in said and "CER 97.30" in said and "training.epochs=4" in said
    assert verdict(log, {**log[-1], "validation_cer": 89.9}).startswith("verdict: it learned")


def test_the_comparison_is_with_similar_data() -> None:
    sentences = [f"word{number} and {number}" for number in range(200)]
    assert "5 minutes of sentences" in comparison(0.1, sentences)
    assert comparison(0.03, sentences).endswith("(docs/expect.md); expect more errors with less data")
    assert comparison(3.0, sentences).endswith("gave a validation CER of 12 to 16 % (docs/expect.md)")
    assert comparison(50.0, sentences).endswith("; expect fewer errors with more data")
    assert "5 minutes of two words" in comparison(0.1, ["yes no yes"] * 50)


@pytest.mark.parametrize("measured", MEASURED, ids=lambda measured: measured.data)
def test_the_quoted_pages_hold_the_quoted_numbers(measured: object) -> None:
    """Rounded up and down from numbers of the tables there."""
    page = (REPOSITORY / measured.page).read_text(encoding="utf-8")  # type: ignore[attr-defined]
    found = {float(number) for number in re.findall(r"\d+\.\d+", page)}
    for bound in measured.cer.split(" to "):  # type: ignore[attr-defined]
        digits = len(bound.partition(".")[2])
        assert any(round(number, digits) == float(bound) for number in found), bound
