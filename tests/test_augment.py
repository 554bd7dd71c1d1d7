"""Augmentations: noise ratio, warping, masks, and seeds; all of them off change nothing."""

import pytest
import torch

from asr.features import LogMel, frame_mask
from asr.training.augment import Augment, add_noise, mask_bands, mask_times, warp

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
