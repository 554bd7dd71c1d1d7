"""The task of training on recordings: joined utterances, two views, sizes of batches, and refused settings."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import RATE, train_config, with_augment, without_chance

from asr.batching import Joined
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, TrainingError
from asr.lengths import required_frames
from asr.training.data import open_data
from asr.training.recognition import Loaded, RecognitionTask
from asr.training.speech import few_sizes
from asr.training.train import train


def test_cepstra_cannot_be_frequency_warped(tones: Path, tmp_path: Path) -> None:
    settings = train_config(tones)
    settings = settings.model_copy(update={"features": settings.features.model_copy(update={"kind": "mfcc"})})
    with pytest.raises(ConfigError, match="mfcc has no frequency axis"):
        train(settings, tmp_path)


@pytest.mark.parametrize("space", ["", " "])
def test_joined_utterances_have_joined_texts_and_stay_feasible(space: str, tones: Path, tmp_path: Path) -> None:
    """Also with frames so long that the shortest pause would not hold what joining adds."""
    for name in ("train", "validation"):
        utterances = [replace(u, text=space.join(u.text or "")) for u in read_manifest(tones / f"{name}.jsonl")]
        write_manifest(tmp_path / f"{name}.jsonl", utterances)
    config = with_augment(train_config(tmp_path, epochs=1), join=1.0)
    config = config.model_copy(update={"features": config.features.model_copy(update={"hop_ms": 40.0})})
    data = open_data(config, lambda line: None)
    task = RecognitionTask(config, data, torch.device("cpu"))
    (batches,) = task.plans()
    texts = [utterance.text or "" for utterance in data.training.utterances]
    assert sorted(index for batch in batches for joined in batch for index in joined.parts) == list(range(len(texts)))
    for batch in batches:
        audio, lengths, targets, weights = task.load(batch)
        assert weights.tolist() == [1.0] * len(batch)
        written = [data.units.decode(target) for target in targets]
        assert written == [space.join(texts[index] for index in joined.parts) for joined in batch]
        assert task.num_targets(batch) == sum(map(len, targets))
        assert audio.numel() <= task.padded_samples(batch) <= config.training.batch_seconds * RATE
        for joined, length, target in zip(batch, lengths.tolist(), targets, strict=True):
            pauses = length - data.training.num_samples[list(joined.parts)].sum()
            assert 0.24 * RATE <= pauses / len(joined.parts) <= 1.5 * RATE
            assert task.model.num_output_frames(length) >= required_frames(target)
        assert task.loss(task.module, Loaded(audio, lengths, targets, weights)).isfinite()


def test_learns_from_joined_utterances(tones: Path, tmp_path: Path) -> None:
    assert train(with_augment(train_config(tones), join=0.5), tmp_path).summary["validation_cer"] < 5


def test_two_equal_views_cost_what_one_does(tones: Path) -> None:
    """Without masks and dropout views do not differ; with them they do, and the same two views cost more."""
    losses = []
    for chance, weight in ((False, 0.0), (False, 0.5), (True, 1e-9), (True, 0.5)):
        torch.manual_seed(0)
        config = train_config(tones, consistency=weight)
        config = config if chance else without_chance(config)
        task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
        losses.append(
            float(task.loss(task.module.train(), task.load([Joined((0,)), Joined((1,)), Joined((2,))])).detach())
        )
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[3] > losses[2] * 1.001


def test_batches_have_few_sizes_and_little_padding(tones: Path) -> None:
    sizes = {size: few_sizes(size) for size in range(1, 1025)}
    assert all(size <= even <= size * 17 / 16 and few_sizes(even) == even for size, even in sizes.items())
    assert len({even for even in sizes.values() if 512 < even <= 1024}) == 16
    config = with_augment(train_config(tones), tempo=0.3)
    task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
    for _ in range(5):  # several tempos
        features, frames = task.features(*task.load_audio([Joined((0,)), Joined((1,))])[1:], torch.zeros(2))
        assert features.shape[1] == few_sizes(int(frames.max()))
        assert not any(rows[frame:].any() for rows, frame in zip(features, frames.tolist(), strict=True))


def test_learns_from_two_views(tones: Path, tmp_path: Path) -> None:
    assert train(train_config(tones, consistency=0.2), tmp_path).summary["validation_cer"] < 5


@pytest.mark.parametrize("decoder", ["joint", "attention"])
def test_views_are_compared_for_ctc_alone(decoder: str, tones: Path, tmp_path: Path) -> None:
    config = train_config(tones, consistency=0.2)
    config = config.model_copy(update={"model": config.model.model_copy(update={"decoder": decoder})})
    with pytest.raises(ConfigError, match=r"training\.consistency: is for recognisers with model\.decoder=ctc"):
        train(config, tmp_path)


@pytest.mark.parametrize("decoder", ["ctc", "joint", "attention"])
def test_a_model_that_ignores_the_audio_is_stopped_unless_it_has_attention_alone(decoder: str, tones: Path) -> None:
    config = train_config(tones, epochs=4)
    config = config.model_copy(update={"model": config.model.model_copy(update={"decoder": decoder})})
    task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
    log = [{"epoch": epoch, "validation_loss": 3.0, "no_listening_loss": 3.0} for epoch in (1, 2)]
    if decoder == "attention":
        task.check(log, 5000)
    else:
        with pytest.raises(TrainingError, match="the model ignores the audio"):
            task.check(log, 5000)
