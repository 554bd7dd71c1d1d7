"""The losses of a few training steps are the numbers written here, with our LSTM steps and with PyTorch's LSTM."""

from pathlib import Path

import pytest
import torch
from conftest import train_config

from asr.training.data import open_data
from asr.training.recognition import RecognitionTask

# Nats per unit, steps 1 to 6 of the run below. Renew the numbers only if a change of the training is intended, or if
# a new version of torch draws other random numbers; say so in the commit.
LOSSES = [1.95861, 1.68255, 1.48394, 1.45406, 1.36074, 1.47234]


@pytest.mark.parametrize("kernels", ["auto", "torch"])
def test_the_first_losses_of_a_run(kernels: str, tones: Path) -> None:
    """Features, augmentation, batches, network, CTC, gradient clipping and AdamW all change these numbers."""
    config = train_config(tones, precision="fp32", kernels=kernels, batch_utterances=8)
    data = open_data(config, lambda line: None)
    torch.manual_seed(0)
    task = RecognitionTask(config, data, torch.device("cpu"))
    optimizer = torch.optim.AdamW(task.module.train().parameters(), 1e-3)
    losses = []
    for batch in task.plans()[0][: len(LOSSES)]:
        loss = task.loss(task.module, task.load(batch)) / task.num_targets(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.module.parameters(), config.training.gradient_clip)
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(LOSSES, abs=1e-4)
