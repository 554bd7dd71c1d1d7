"""Batches: every utterance once, limits kept, joined pairs, padding; and the schedule of the learning rate."""

from typing import Any

import numpy as np
import pytest
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
    options = {
        "probability": 0.5,
        "pause": 300,
        "around": np.zeros(len(lengths), np.int64),
        "following": np.full(len(lengths), -1),
        "most_parts": 2,
        "max_samples": 5000,
        "max_utterances": 12,
        **changes,
    }
    return plan_joined(lengths, generator=np.random.default_rng(seed), **options)


@pytest.mark.parametrize("most_parts", [2, 5])
def test_joined_every_utterance_once_and_no_batch_too_large(most_parts: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 1500, 501)
    for probability in (0.3, 1.0):
        batches = plan(lengths, 1, probability=probability, most_parts=most_parts)
        assert sorted(index for batch in batches for joined in batch for index in joined.parts) == list(range(501))
        for batch in batches:
            longest = max(sum(lengths[index] + 300 * joined.in_context for index in joined.parts) for joined in batch)
            assert len(batch) == 1 or len(batch) * longest <= 5000
            assert len(batch) <= 12 and len({joined.in_context for joined in batch}) == 1
        groups = [joined for batch in batches for joined in batch if len(joined.parts) > 1]
        assert {len(joined.parts) for joined in groups} == set(range(2, most_parts + 1))
        share = sum(len(joined.parts) for joined in groups) / 501
        assert probability * 0.5 < share <= probability  # the longest fit in no group
    assert plan(lengths, 1) == plan(lengths, 1) != plan(lengths, 2)


def test_joined_partners_differ_in_every_epoch_and_none_need_exist() -> None:
    lengths = np.random.default_rng(0).integers(100, 200, 100)
    epochs = [{joined for batch in plan(lengths, seed, probability=1.0) for joined in batch} for seed in (1, 2)]
    assert len(epochs[0]) == 50 and len(epochs[0] & epochs[1]) < 10
    assert sorted(len(one.parts) for batch in plan(np.array([7, 7, 7]), 0, probability=1.0) for one in batch) == [1, 2]
    assert plan(np.array([7]), 0, probability=1.0) == [[Joined((0,))]]
    assert sorted(plan(np.array([4000, 4000]), 0, probability=1.0)) == [[Joined((0,))], [Joined((1,))]]


def test_an_utterance_is_joined_with_the_next_one_of_its_recording() -> None:
    """Ten recordings of ten utterances each: most joins go on in the recording, as far as the next one is free."""
    lengths, following = np.full(100, 100), np.arange(1, 101)
    following[9::10] = -1
    pairs = [j.parts for batch in plan(lengths, 0, following=following) for j in batch if len(j.parts) > 1]
    real = sum(following[left] == right for left, right in pairs)
    assert len(pairs) == 25 and 15 <= real < 25
    longer = plan(lengths, 0, following=following, most_parts=4)
    assert any(len(j.parts) == 4 and list(following[list(j.parts[:3])]) == list(j.parts[1:]) for b in longer for j in b)


def test_utterances_in_context_get_batches_that_hold_their_context() -> None:
    lengths, around = np.full(200, 500), np.tile([0, 400], 100)
    batches = plan(lengths, 0, probability=0.4, around=around)
    kept = [joined.parts[0] for batch in batches for joined in batch if joined.in_context and len(joined.parts) == 1]
    assert 10 < len(kept) < 40 and all(around[index] for index in kept)  # 0.4 of 0.6 of 100
    for batch in batches:
        if batch[0].in_context and len(batch[0].parts) == 1:
            assert len(batch) * 900 <= 5000
