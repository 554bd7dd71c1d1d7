"""Pitch bins: the autocorrelation of the transform, voices of a known pitch, levels, padding, warps and masks."""

import numpy as np
import pytest
import torch
from oracles import random_waveforms

from asr.batching import pad
from asr.features import LogMel
from asr.pitch import autocorrelation, fundamentals
from asr.training.augment import Augment, mask_bands, mask_pitch, warp

RATE, BINS, PITCH = 16000, 40, 36
SEMITONES = 12 * np.log2(fundamentals(PITCH)[1] / fundamentals(PITCH)[0])  # from one pitch bin to the next


def features(**settings: object) -> LogMel:
    return LogMel(sample_rate=RATE, bins=BINS, window_ms=50, pitch_bins=PITCH, **settings)


def voice(f0: float, *, seconds: float = 0.4, harmonics: int = 20, missing: int = 0) -> torch.Tensor:
    """Return a sound `(1, N)` of equal harmonics without the first `missing`, like a buzz."""
    time = torch.arange(int(seconds * RATE)) / RATE
    waves = [torch.cos(2 * torch.pi * f0 * number * time + number) for number in range(1 + missing, harmonics + 1)]
    return 0.05 * torch.stack(waves).sum(0)[None]


def pitch_of(audio: torch.Tensor) -> np.ndarray:
    """Return the pitch bins `(K,)` of a frame in the middle of audio `(1, N)`."""
    frames = features().log_spectrum(audio)[0, :, BINS:]
    return frames[len(frames) // 2].numpy()


def test_the_matrix_gives_the_inverse_transform_at_the_periods() -> None:
    n_fft, finer = 1024, 64
    power = np.random.default_rng(0).random(n_fft // 2 + 1)
    frequencies = np.arange(n_fft // 2 + 1) * RATE / n_fft
    weighted = power * np.interp(frequencies, [750, 1500], [1, 0])
    both_sides = weighted + np.append(weighted[0], np.zeros(n_fft // 2))  # irfft counts frequency 0 once, others twice
    lags = np.fft.irfft(both_sides, n_fft * finer) * n_fft * finer / 2
    expected = np.interp(np.append(1 / fundamentals(PITCH), 0) * RATE * finer, np.arange(len(lags)), lags)
    np.testing.assert_allclose(power @ autocorrelation(n_fft, RATE, PITCH), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("f0", "missing"), [(75, 0), (75, 2), (110, 2), (163, 0), (163, 2), (240, 0), (385, 0)])
def test_a_voice_is_highest_at_its_fundamental_frequency(f0: float, missing: int) -> None:
    """Also without its lowest harmonics, as on a telephone."""
    bins = pitch_of(voice(f0, missing=missing))
    found = fundamentals(PITCH)[bins.argmax()]
    assert abs(12 * np.log2(found / f0)) <= SEMITONES
    assert 0.2 < bins.max() <= 1


def test_noise_and_silence_have_no_pitch() -> None:
    assert np.abs(pitch_of(torch.zeros(1, RATE))).max() < 0.05
    noise = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (1, RATE)).astype(np.float32))
    assert pitch_of(noise).max() < 0.15


def test_the_level_does_not_matter() -> None:
    audio = voice(140)
    np.testing.assert_allclose(pitch_of(audio), pitch_of(0.1 * audio), atol=0.01)


def test_bins_of_the_spectrum_are_those_without_pitch() -> None:
    audio, lengths = pad(random_waveforms(2, 3, RATE))
    for level in ("utterance", "running"):
        both, frames = features(level=level)(audio, lengths)
        alone, _ = LogMel(sample_rate=RATE, bins=BINS, window_ms=50, level=level)(audio, lengths)
        torch.testing.assert_close(both[:, :, :BINS], alone)
        for row, length in zip(both, frames.tolist(), strict=True):
            assert row[:length, BINS:].abs().sum() > 0 and not row[length:].any()


@pytest.mark.parametrize("level", ["utterance", "running"])
def test_padding_changes_nothing(level: str) -> None:
    module = features(level=level)
    waveforms = random_waveforms(3, 4, RATE)
    audio, lengths = pad(waveforms)
    audio = torch.where(torch.arange(audio.shape[1]) < lengths[:, None], audio, torch.tensor(7.0))
    batch, frames = module(audio, lengths)
    for row, waveform in enumerate(waveforms):
        alone, _ = module(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
        torch.testing.assert_close(batch[row, : frames[row]], alone[0], atol=1e-4, rtol=0)


def test_a_warp_moves_the_pitch_by_the_factor_of_the_spectrum() -> None:
    module = features()
    x = module.log_spectrum(voice(150))
    lengths = torch.tensor([x.shape[1]])
    torch.manual_seed(3)
    scale = 1 + 0.3 * (2 * torch.rand(1, 1) - 1).item()
    torch.manual_seed(3)
    warped, _ = warp(
        x,
        lengths,
        bin_frequencies=module.bin_frequencies,
        pitch_frequencies=module.pitch_frequencies,
        frequency=0.3,
    )
    found = fundamentals(PITCH)[warped[0, 20, BINS:].argmax()]
    assert abs(12 * np.log2(scale)) > 2
    assert abs(12 * np.log2(found * scale / 150)) <= SEMITONES


def test_a_warp_of_nothing_mixes_no_bins() -> None:
    module, lengths = features(), torch.tensor([30, 17])
    x = torch.randn(2, 30, BINS + PITCH)
    x[1, 17:] = 0
    augment = Augment(
        hop_seconds=0.01,
        bin_frequencies=module.bin_frequencies,
        pitch_frequencies=module.pitch_frequencies,
        tempo=1e-9,
    )
    torch.testing.assert_close(augment.features(x, lengths, lengths)[0], x, atol=1e-3, rtol=0)


def test_frequency_masks_leave_pitch_bins_which_are_masked_as_a_whole() -> None:
    torch.manual_seed(0)
    masked = mask_bands(torch.ones(200, 5, BINS + PITCH), count=2, max_bins=30, pitch_bins=PITCH)
    assert (masked[:, :, BINS:] == 1).all()
    assert (masked[:, :, : BINS - 1] == 0).any(0).all()
    masked = mask_pitch(torch.ones(500, 5, BINS + PITCH), PITCH)
    assert (masked[:, :, :BINS] == 1).all()
    without = (masked[:, :, BINS:] == 0).all((1, 2))
    assert (masked[~without][:, :, BINS:] == 1).all()
    assert 0.2 < without.float().mean() < 0.4
