"""Utterances without words: named unless `data.train_on_empty` is set; then every loss and decoder expects nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, train_config, with_augment

from asr.batching import Joined
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ManifestError, TextError, TrainingError
from asr.nn.ctc import ctc_loss, steady_ctc_loss
from asr.recognition.recognizer import Recognizer, load
from asr.training.data import open_data
from asr.training.recognition import RecognitionTask
from asr.training.train import train
from asr.tuning.tune import tune
from asr.utterance import Utterance

NOISES = 12


@pytest.fixture
def noisy(tones: Path, tmp_path: Path) -> Path:
    """Write the corpus of tones with recordings of steps of noise, whose level varies as that of speech does."""
    generator = np.random.default_rng(5)
    noises = []
    for number in range(NOISES):
        steps = np.repeat(generator.uniform(0.01, 0.3, 8), RATE // 10)
        soundfile.write(tmp_path / f"noise-{number}.wav", steps * generator.standard_normal(len(steps)), RATE)
        noises.append(Utterance(f"noise-{number}", tmp_path / f"noise-{number}.wav", ""))
    for name, part in (("train", noises[:8]), ("validation", noises[8:])):
        write_manifest(tmp_path / f"{name}.jsonl", [*read_manifest(tones / f"{name}.jsonl"), *part])
    return tmp_path


def config_of(folder: Path, *, use: bool = True, decoder: str = "ctc", **training: object) -> Config:
    config = train_config(folder, **training)
    data = config.data.model_copy(update={"train_on_empty": use})
    return config.model_copy(update={"data": data, "model": config.model.model_copy(update={"decoder": decoder})})


def test_an_empty_text_is_a_mistake_unless_it_is_asked_for(noisy: Path) -> None:
    said: list[str] = []
    data = open_data(config_of(noisy, use=False), said.append)
    assert len(data.training) == 96 and "left out 12 utterances, empty transcript" in said[0]
    assert "data.train_on_empty=true" in said[1]
    with pytest.raises(TrainingError, match="12 utterances are unusable"):
        open_data(config_of(noisy, use=False), said.append, strict=True)
    said.clear()
    data = open_data(config_of(noisy), said.append, strict=True)
    assert len(data.training) == 104 and len(data.validation) == 20
    assert "12 no words" in "\n".join(said)
    assert len(data.units.symbols) == 3

    rows = read_manifest(noisy / "train.jsonl")
    write_manifest(noisy / "train.jsonl", [*rows[:-1], replace(rows[-1], text=None)])  # not marked: nobody wrote it
    with pytest.raises(TrainingError, match="1 utterance is unusable"):
        open_data(config_of(noisy), said.append, strict=True)


def test_texts_that_are_all_empty_are_no_validation_data(noisy: Path) -> None:
    rows = read_manifest(noisy / "validation.jsonl")
    write_manifest(noisy / "validation.jsonl", rows[-4:])
    with pytest.raises(TextError, match=r"validation\.jsonl: all of its 4 texts are empty"):
        open_data(config_of(noisy), lambda line: None)


@pytest.mark.parametrize("texts", [[[], [], []], [[], [1, 2], [3]], [[1], [], [2, 2]]])
def test_ctc_of_an_empty_text_is_that_of_blanks(texts: Sequence[Sequence[int]], device: torch.device) -> None:
    scores, lengths = torch.randn(3, 7, 5), torch.tensor([7, 5, 6])
    gradients = []
    for loss in (ctc_loss, steady_ctc_loss):
        x = scores.to(device).requires_grad_()
        log_probs = x.log_softmax(-1)
        losses = loss(log_probs, lengths.to(device), texts)
        for row, text in enumerate(texts):
            if not text:
                blanks = -log_probs[row, : lengths[row], 0].sum()
                assert losses[row].item() == pytest.approx(blanks.item(), abs=1e-4)
        gradients.append(torch.autograd.grad(losses.sum(), x)[0].cpu())
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("decoder", "consistency"), [("ctc", 0.0), ("ctc", 0.2), ("joint", 0.0), ("attention", 0.0)])
def test_a_batch_of_noise_alone_and_joined_noise_have_a_loss(decoder: str, consistency: float, noisy: Path) -> None:
    config = config_of(noisy, decoder=decoder, consistency=consistency)
    task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
    noise, speech = [i for i in range(len(task.data.training)) if not task.encoded(i)], 0
    assert len(noise) == 8
    alone = [Joined((index,)) for index in noise]
    assert task.num_targets(alone) == 8
    joined = [Joined((noise[0], noise[1]), True), Joined((noise[0], speech, noise[1]), True)]
    assert [task.spell(one) for one in joined] == [[], task.encoded(speech)]
    for batch in (alone, joined):
        loss = task.loss(task.module.train(), task.load(batch))
        loss.backward()
        assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in task.module.parameters())
    if decoder == "attention":  # the text ends at once: the loss is that of the end alone
        task.module.eval()
        (nats,) = task.model.losses(*task.model.frames(*task.load_audio(alone[:1])[1:]), [[]])
        assert 0 < nats < 10
    assert np.isfinite(task.baseline_loss) and np.isfinite(task.evaluate()["validation_loss"])


def test_a_model_learns_that_noise_has_no_words(noisy: Path, tmp_path: Path) -> None:
    rows = read_manifest(noisy / "validation.jsonl")
    waveforms = [soundfile.read(row.audio, dtype="float32")[0] for row in rows[-4:]]
    model = train(with_augment(config_of(noisy), join=0.3), tmp_path / "run")
    assert isinstance(model, Recognizer) and model.summary["validation_cer"] < 8
    assert model.recognize(waveforms) == [""] * 4
    lengths = model.trained_lengths
    tune(model, noisy / "validation.jsonl", report=lambda line: None)
    model.save(tmp_path / "tuned.safetensors")
    assert lengths is not None and load(tmp_path / "tuned.safetensors").trained_lengths == lengths
    write_manifest(noisy / "validation.jsonl", [*rows, Utterance("untold", rows[0].audio)])
    with pytest.raises(ManifestError, match="has no text"):
        tune(model, noisy / "validation.jsonl", report=lambda line: None)
