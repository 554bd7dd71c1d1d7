"""The encoder and the acoustic model: exact lengths, equal answers in any batch, first weights, dropout masks."""

import numpy as np
import pytest
import torch
from oracles import random_waveforms, randomise

from asr.batching import pad
from asr.config import Config
from asr.nn.encoder import AcousticModel, DropoutMask, FrameStacking, Frontend
from asr.recognition.recognizer import Recognizer
from asr.text import Units


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("frontend", ["conv", "stack"])
def test_output_length_is_exact(factor: int, frontend: Frontend) -> None:
    model = AcousticModel(
        num_bins=13, num_units=4, frontend=frontend, subsampling=factor, channels=2, hidden=3, layers=1
    )
    for frames in range(1, 20):
        log_probs, lengths = model(torch.randn(1, frames, 13), torch.tensor([frames]))
        assert log_probs.shape[:2] == (1, model.num_output_frames(frames))
        assert lengths.item() == model.num_output_frames(frames)


def test_log_probabilities_in_training_and_evaluation() -> None:
    model = AcousticModel(num_bins=8, num_units=4, channels=2, hidden=3, layers=2)
    for training in (True, False):
        log_probs, _ = model.train(training)(torch.randn(2, 9, 8), torch.tensor([9, 5]))
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 3))


@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 4},
        {"subsampling": 3, "cell": "gru"},
        {"bidirectional": False},
        {"frontend": "stack", "subsampling": 3},
        {"projection": True},
    ],
)
def test_batch_order_and_padding_never_change_an_answer(options: dict, device: torch.device) -> None:
    """From the waveform on: alone, in batches of 7 and 32, in any order, with extra padding, to 1e-4."""
    model = {"hidden": 16, "layers": 2, "channels": 4, **options}
    config = Config.model_validate(
        {"data": {"train": "x", "validation": "x"}, "features": {"sample_rate": 8000, "bins": 20}, "model": model}
    )
    recognizer = Recognizer(config, Units("abc ")).to(device)
    randomise(recognizer.acoustic_model, 0)
    waveforms = random_waveforms(5, 32)
    alone = [recognizer.log_probs(*pad([waveform]))[0][0].cpu() for waveform in waveforms]
    texts = [recognizer.texts(rows[None], torch.tensor([len(rows)]))[0] for rows in alone]
    assert len(set(texts)) > 5
    generator = np.random.default_rng(0)
    for size in (7, 32):
        order = generator.permutation(32).tolist()
        for start in range(0, 32, size):
            rows = order[start : start + size]
            audio, lengths = pad(waveforms[row] for row in rows)
            audio = torch.nn.functional.pad(audio, (0, 1234))
            log_probs, frames = recognizer.log_probs(audio, lengths)
            for position, row in enumerate(rows):
                assert frames[position] == len(alone[row]) == recognizer.num_output_frames(len(waveforms[row]))
                torch.testing.assert_close(log_probs[position, : frames[position]].cpu(), alone[row], atol=1e-4, rtol=0)
            assert recognizer.texts(log_probs, frames) == [texts[row] for row in rows]


def test_a_model_begins_with_blanks() -> None:
    model = AcousticModel(num_bins=8, num_units=30, channels=2, hidden=16, layers=2)
    log_probs, _ = model(torch.randn(4, 60, 8), torch.full((4,), 60))
    assert (log_probs.argmax(2) == 0).float().mean() > 0.99


def test_stacked_frames_stand_side_by_side() -> None:
    stack = FrameStacking(num_bins=2, factor=3)
    frames, lengths = stack(torch.arange(1.0, 11.0).view(1, 5, 2), torch.tensor([4]))
    assert frames.tolist() == [[[1, 2, 3, 4, 5, 6], [7, 8, 0, 0, 0, 0]]] and lengths.tolist() == [2]


@pytest.mark.parametrize("mask", ["utterance", "frame"])
def test_dropout_masks_are_of_utterances_or_of_frames(mask: DropoutMask) -> None:
    model = AcousticModel(
        num_bins=8,
        num_units=4,
        channels=2,
        projection=True,  # without it, inputs are zero where a convolution is
        hidden=16,
        layers=2,
        subsampling=1,
        dropout=0.5,
        dropout_mask=mask,
    )
    kept: list[torch.Tensor] = []
    model.dropout.register_forward_hook(lambda module, inputs, output: kept.append(output != 0))
    model.train()(torch.randn(3, 20, 8), torch.tensor([20, 20, 20]))
    assert len(kept) == (3 if mask == "utterance" else 2)  # the input too, or the two layers alone
    for one in kept:
        assert 0.3 < one.float().mean() < 0.7
        same_in_all_frames = (one == one[:, :1]).all()
        assert same_in_all_frames == (mask == "utterance")
        assert not (one[0] == one[1]).all()
    kept.clear()
    model.eval()(torch.randn(3, 20, 8), torch.tensor([20, 20, 20]))
    assert kept and all(one.float().mean() > 0.99 for one in kept)
