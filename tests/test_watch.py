"""Warnings in training: a model that ignores the audio, gradient norms, the self-test, and epoch lines."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE

from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import TrainingError
from asr.training.selftest import selftest
from asr.training.watch import MIN_STEPS, gradient_norms, listening_line, no_listening_loss, stop_if_deaf


def constant_loss(share: float, frames: int, target: list[int]) -> float:
    """Straight from the definition: the sum over all paths, units being equally likely beside blank."""
    p = [share, (1 - share) / 2, (1 - share) / 2]
    total = 0.0
    for path in itertools.product(range(3), repeat=frames):
        merged = [unit for unit, _ in itertools.groupby(path)]
        if [unit for unit in merged if unit] == target:
            total += float(np.prod([p[unit] for unit in path]))
    return -np.log(total) / len(target)


def test_no_listening_loss_is_the_best_constant_distribution() -> None:
    # Units 1 and 2 come equally often, so that one number, the share of blank, describes the best distribution.
    found = no_listening_loss([5, 5], [[1, 2], [2, 1]], 3)
    best = min(constant_loss(share, 5, [1, 2]) for share in np.linspace(0.01, 0.99, 197))
    assert found == pytest.approx(best, abs=2e-3)


def row(epoch: int, loss: float) -> dict:
    return {"epoch": epoch, "validation_loss": loss, "no_listening_loss": 3.0}


def test_a_deaf_model_is_stopped_with_a_diagnosis_and_no_other() -> None:
    deaf, hears = [row(epoch, 2.9) for epoch in range(1, 9)], [row(1, 2.9), row(2, 2.0), row(3, 2.9)]
    with pytest.raises(TrainingError, match=r"does not listen: after 8 epochs .* 2.900, .* 3.000"):
        stop_if_deaf(deaf, epochs=16, step=MIN_STEPS)
    stop_if_deaf(deaf, epochs=16, step=MIN_STEPS - 1)
    stop_if_deaf(deaf, epochs=17, step=MIN_STEPS)
    stop_if_deaf(hears, epochs=3, step=MIN_STEPS)


@pytest.mark.parametrize(
    ("training", "validation", "said"),
    [
        (0.8, 0.8, "listening"),
        (0.1, 0.8, "listening"),
        (0.1, 2.0, "learned by heart"),
        (0.9, 2.0, "not listening yet, normal before about epoch 15"),
    ],
)
def test_what_the_losses_tell_of_listening(training: float, validation: float, said: str) -> None:
    row = {"epoch": 2, "step": 200, "train_loss": training, "validation_loss": validation, "no_listening_loss": 1.0}
    assert listening_line(row, epochs=20) == said


def test_gradient_norms_add_up() -> None:
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(2))})
    model["out"] = torch.nn.Linear(3, 1)
    x = torch.randn(5, 3)
    model["out"](model["layers"][1](model["layers"][0](x))).sum().backward()
    norms = gradient_norms(model, scale=2.0)
    assert list(norms) == ["layers.0", "layers.1", "out"]
    whole = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    assert np.hypot.reduce(list(norms.values())) == pytest.approx(2 * float(whole), rel=1e-6)


def test_selftest_tells_shuffled_transcripts_from_right_ones(tones: Path, tmp_path: Path) -> None:
    said: list[str] = []
    selftest(tones / "train.jsonl", said.append)
    assert "rank correlation 1.00" in said[0] and "learned by heart" in said[-1]
    utterances = read_manifest(tones / "train.jsonl")
    texts = np.random.default_rng(0).permutation([u.text for u in utterances])
    write_manifest(tmp_path / "train.jsonl", [replace(u, text=str(t)) for u, t in zip(utterances, texts, strict=True)])
    with pytest.raises(TrainingError, match="do not seem to belong to their recordings"):
        selftest(tmp_path / "train.jsonl", said.append)


def test_selftest_fails_where_nothing_can_be_learned(tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    for utterance in utterances:  # recordings as long as they were, of nothing
        soundfile.write(tmp_path / utterance.audio.name, np.zeros(soundfile.info(utterance.audio).frames), RATE)
    silent = [replace(u, audio=tmp_path / u.audio.name) for u in utterances]
    write_manifest(tmp_path / "train.jsonl", silent)
    with pytest.raises(TrainingError, match=r"none of its 80 utterances can be used"):
        selftest(tmp_path / "train.jsonl", print)
