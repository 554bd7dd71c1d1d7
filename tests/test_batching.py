"""Batches: every utterance once, limits kept, joined pairs, padding; and the schedule of the learning rate."""

from itertools import chain
from typing import Any

import numpy as np
from oracles import random_waveforms

from asr.batching import Joined, pad, plan_batches, plan_joined
from asr.training.schedule import warmup_cosine


def test_every_utterance_once_within_bounds() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 500)
    for generator in (None, np.random.default_rng(1)):
        batches = plan_batches(lengths, max_samples=5000, max_utterances=20, generator=generator)
        assert sorted(index for batch in batches for index in batch) == list(range(500))
        assert all(len(batch) <= 20 and len(batch) * lengths[batch].max() <= 5000 for batch in batches)


def test_too_long_an_utterance_is_a_batch_of_its_own() -> None:
    assert plan_batches([10, 99, 10], max_samples=20, max_utterances=9) == [[0, 2], [1]]
    assert plan_batches([], max_samples=20, max_utterances=9) == []


def test_epochs_differ_and_seeds_repeat() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 100)

    def epochs(seed: int) -> list:
        generator = np.random.default_rng(seed)
        return [plan_batches(lengths, max_samples=4000, max_utterances=9, generator=generator) for _ in range(2)]

    first, second = epochs(0)
    assert first != second
    assert epochs(0) == [first, second] and epochs(1) != [first, second]


def test_padding_is_small() -> None:
    lengths = np.random.default_rng(0).integers(800, 16000, 2000)
    batches = plan_batches(lengths, max_samples=200_000, max_utterances=64, generator=np.random.default_rng(0))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded / lengths.sum() < 1.12


def test_pad() -> None:
    waveforms = random_waveforms(0, 3)
    audio, lengths = pad(waveforms)
    assert lengths.tolist() == [len(waveform) for waveform in waveforms]
    for row, waveform in zip(audio.numpy(), waveforms, strict=True):
        np.testing.assert_array_equal(row[: len(waveform)], waveform)
        assert (row[len(waveform) :] == 0).all()


def test_schedule_rises_then_falls() -> None:
    rates = [warmup_cosine(step, total=100, warmup=0.2) for step in range(100)]
    assert rates[:20] == sorted(rates[:20]) and max(rates) == rates[19] == 1.0
    assert rates[20:] == sorted(rates[20:], reverse=True) and 0 < rates[-1] < 0.01


def plan(lengths: np.ndarray, seed: int, **changes: Any) -> list[list[Joined]]:
    options = {"probability": 0.5, "pause": 300, "max_samples": 5000, "max_utterances": 12, **changes}
    return plan_joined(lengths, generator=np.random.default_rng(seed), **options)


def test_joined_every_utterance_once_and_no_batch_too_large() -> None:
    lengths = np.random.default_rng(0).integers(1, 3000, 501)
    for probability in (0.3, 1.0):
        batches = plan(lengths, 1, probability=probability)
        assert sorted(chain.from_iterable(chain.from_iterable(batches))) == list(range(501))
        for batch in batches:
            longest = max(sum(lengths[index] + 300 * (len(parts) - 1) for index in parts) for parts in batch)
            assert len(batch) == 1 or len(batch) * longest <= 5000
            assert sum(map(len, batch)) <= 12
        share = sum(len(parts) for batch in batches for parts in batch if len(parts) == 2) / 501
        assert probability * 0.5 < share < probability  # the longest fit in no pair
    assert plan(lengths, 1) == plan(lengths, 1) != plan(lengths, 2)


def test_joined_partners_differ_in_every_epoch_and_none_need_exist() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(100, 200, 100)
    options = {"probability": 1.0, "pause": 10, "max_samples": 5000, "max_utterances": 10, "generator": generator}
    epochs = [{tuple(sorted(parts)) for batch in plan_joined(lengths, **options) for parts in batch} for _ in "ab"]
    assert len(epochs[0]) == 50 and len(epochs[0] & epochs[1]) < 10
    assert sorted(len(parts) for batch in plan(np.array([7, 7, 7]), 0, probability=1.0) for parts in batch) == [1, 2]
    assert plan(np.array([7]), 0, probability=1.0) == [[(0,)]]
    assert sorted(plan(np.array([4000, 4000]), 0, probability=1.0)) == [[(0,)], [(1,)]]
