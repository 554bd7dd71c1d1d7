"""Tests the picture of gradients: its curves agree with the theory, and the command line draws it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from reference_cells import Weights, backpropagate, unroll
from typer.testing import CliRunner

from asr.cli import app
from asr.figures.gradients import DEPTH, Stack, gradients, through_layers, through_time
from asr.nn.rnn import RNNLayer

FEATURES = torch.randn(60, 10, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.figures.gradients.HIDDEN", 64)


def test_norms_are_those_of_backpropagation_by_hand() -> None:
    layer = RNNLayer(input_size=10, hidden_size=6, cell="lstm", bidirectional=False)
    (norms,) = gradients(Stack([layer]), FEATURES[:30])
    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(16, 6, dtype=torch.float64), dim=1).numpy()
    weights = Weights.of(layer.forward_rnn)
    steps = unroll("lstm", weights, FEATURES[:30].double().numpy())
    squares = np.zeros(30)
    for direction in directions:
        outputs = np.zeros((30, 6))
        outputs[-1] = direction
        squares += np.square(backpropagate("lstm", weights, steps, outputs)[0]).sum(1) / len(directions)
    np.testing.assert_allclose(norms, np.sqrt(squares), rtol=1e-6)


def test_curves_are_what_theory_says() -> None:
    curves = {curve.name: curve.norms for curve in through_time(FEATURES)}
    reach = {name: norms[0] / norms[-1] for name, norms in curves.items()}
    assert reach["rnn_tanh, large weights: explodes"] > 5
    assert reach["rnn_tanh, small weights: vanishes"] < 1e-10
    assert 0.01 < reach["rnn_relu, identity"] < 10
    assert reach["lstm, forget bias 1"] > 1e3 * reach["lstm"]
    clipped, exploding = (
        curves["rnn_tanh, large weights, clipped to norm 1"],
        curves["rnn_tanh, large weights: explodes"],
    )
    np.testing.assert_allclose(clipped / exploding, clipped[0] / exploding[0])  # its direction stays
    assert clipped[0] < exploding[0]
    layers = {curve.name: curve.norms for curve in through_layers(FEATURES)}
    assert all(len(norms) == DEPTH for norms in layers.values())
    assert layers["gru, plain"][0] < 0.1 * layers["gru, x + rnn(layer_norm(x))"][0]


def test_command(tone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["report", "gradients", str(tone), "-o", "new/g.png", "--seconds", "0.3"])
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "new" / "g.png").read_bytes().startswith(b"\x89PNG")
    assert len(done.stdout.splitlines()) == 9 and done.stdout.splitlines()[3].endswith(
        "\trnn_tanh, small weights: vanishes"
    )
