"""Augmentations: noise ratio, warping, masks, joining, and seeds; all of them off change nothing."""

import numpy as np
import pytest
import torch
from oracles import random_waveforms

from asr.features import LogMel, frame_mask
from asr.training.augment import Augment, add_noise, join, mask_bands, mask_times, warp

LENGTHS = torch.tensor([50, 31, 8])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def features() -> torch.Tensor:
    return torch.randn(3, 50, 20) * frame_mask(LENGTHS, 50)[:, :, None]


def test_noise_has_the_ratio_asked_for_and_leaves_padding() -> None:
    audio = torch.randn(3, 20000)
    lengths = torch.tensor([20000, 12000, 5000])
    audio *= frame_mask(lengths, 20000)
    noise = add_noise(audio, lengths, (10, 10)) - audio
    ratio = 10 * torch.log10(audio.square().sum(1) / noise.square().sum(1))
    torch.testing.assert_close(ratio, torch.full((3,), 10.0), atol=0.3, rtol=0)
    assert (noise[~frame_mask(lengths, 20000)] == 0).all()
    assert not torch.equal(noise[0, :100], noise[1, :100] * noise[0, 0] / noise[1, 0])


def test_warp_by_nothing_is_the_identity() -> None:
    x = features()
    warped, lengths = warp(x, LENGTHS, bin_frequencies=torch.arange(20.0))
    torch.testing.assert_close(warped, x, atol=1e-4, rtol=0)
    assert torch.equal(lengths, LENGTHS)


def test_frequency_warp_moves_a_tone_by_the_drawn_factor() -> None:
    module = LogMel(sample_rate=16000, bins=80)
    frequencies = module.bin_frequencies
    tone = torch.sin(2 * torch.pi * 2000 * torch.arange(16000) / 16000)[None]
    x = module.log_spectrum(tone)  # normalised, a steady tone is nothing
    lengths = torch.tensor([x.shape[1]])
    before = frequencies[x[0, 50].argmax()]
    torch.manual_seed(3)
    scale = 1 + 0.2 * (2 * torch.rand(1, 1) - 1).item()
    torch.manual_seed(3)
    warped, _ = warp(x, lengths, bin_frequencies=frequencies, frequency=0.2)
    after = frequencies[warped[0, 50].argmax()]
    assert abs(scale - 1) > 0.05
    assert (after / before).item() == pytest.approx(1 / scale, abs=0.04)


def test_tempo_changes_length_but_keeps_the_text_feasible() -> None:
    shortest = torch.tensor([50, 31, 8])
    drawn = []
    for _ in range(20):
        warped, lengths = warp(features(), LENGTHS, bin_frequencies=torch.arange(20.0), tempo=0.3)
        assert warped.shape[1] == lengths.max() and (warped[~frame_mask(lengths, warped.shape[1])] == 0).all()
        assert (lengths >= (LENGTHS * 0.7).floor()).all() and (lengths <= (LENGTHS * 1.3).ceil()).all()
        drawn.append(lengths)
        _, lengths = warp(features(), LENGTHS, bin_frequencies=torch.arange(20.0), tempo=0.3, minimum_lengths=shortest)
        assert (lengths >= shortest).all()
    assert torch.stack(drawn).float().std(0).min() > 0


def test_masks_are_bounded_and_only_mask() -> None:
    x = torch.ones(200, 60, 20)
    lengths = torch.full((200,), 60)
    bands = mask_bands(x, count=2, max_bins=4)
    masked_bins = (bands == 0).all(1).sum(1)
    assert masked_bins.max() <= 8 and masked_bins.float().mean() > 1
    times = mask_times(x, lengths, per_frame=0.05, max_frames=5)
    masked_frames = (times == 0).all(2).sum(1).float()
    assert masked_frames.max() <= 4 * 5 and 3 < masked_frames.mean() < 9
    assert ((bands == 0) | (bands == 1)).all() and ((times == 0) | (times == 1)).all()


def test_everything_off_changes_nothing() -> None:
    augment = Augment(hop_seconds=0.01, bin_frequencies=torch.arange(20.0))
    audio, x = torch.randn(3, 100), features()
    assert augment.audio(audio, torch.tensor([100, 50, 20])) is audio
    result, lengths = augment.features(x, LENGTHS, LENGTHS)
    assert result is x and lengths is LENGTHS
    assert augment.masks(x, LENGTHS) is x


def test_joined_audio_holds_each_utterance_whole_between_pauses_of_faint_noise() -> None:
    """Where each begins is told from the drawn pauses: everything but the utterances is noise of one level."""
    speech = random_waveforms(1, 2)
    for _ in range(20):
        joined = join(speech, (300, 900))
        begins = [find(part, joined) for part in speech]
        before, between = begins[0], begins[1] - begins[0] - len(speech[0])
        after = len(joined) - begins[1] - len(speech[1])
        assert joined.dtype == np.float32
        assert 300 <= between <= 900 and 300 <= before + after <= 900 and before >= 0
        noise = np.delete(joined, [i for b, s in zip(begins, speech, strict=True) for i in range(b, b + len(s))])
        faint = 10 * np.log10(np.square(np.concatenate(speech)).mean() / np.square(noise).mean())
        assert 29 < faint < 61


def find(part: np.ndarray, whole: np.ndarray) -> int:
    """Where an utterance stands, sample by sample."""
    return next(start for start in range(len(whole)) if np.array_equal(whole[start : start + len(part)], part))


def test_joining_is_drawn_from_torch() -> None:
    speech = random_waveforms(0, 2)
    first, second = join(speech, (10, 99)), join(speech, (10, 99))
    torch.manual_seed(0)
    np.testing.assert_array_equal(join(speech, (10, 99)), first)
    assert len(first) != len(second) or (first != second).any()
    assert join(speech, (50, 50)).shape == (sum(map(len, speech)) + 100,)
    silent = join([np.zeros(50, np.float32)] * 2, (10, 10))
    np.testing.assert_array_equal(silent, np.zeros(120))
