"""Features against librosa, equal answers at any padding, and both normalisations."""

import librosa
import numpy as np
import pytest
import torch
from oracles import random_waveforms

from asr.batching import pad
from asr.features import LOG_FLOOR, MFCC, LogMel, Spectrogram, normalize_level, running_level

KINDS = {
    "log_mel": lambda rate: LogMel(sample_rate=rate, bins=40),
    "mfcc": lambda rate: MFCC(sample_rate=rate, bins=40, coefficients=13),
    "spectrogram": lambda rate: Spectrogram(sample_rate=rate),
}


def by_librosa(kind: str, audio: np.ndarray, rate: int, n_fft: int, window: int, hop: int) -> np.ndarray:
    framing = {"n_fft": n_fft, "win_length": window, "hop_length": hop, "center": True, "pad_mode": "constant"}
    if kind == "spectrogram":
        return np.log(np.maximum(np.abs(librosa.stft(audio, **framing)) ** 2, LOG_FLOOR)).T
    mel = librosa.feature.melspectrogram(y=audio, sr=rate, n_mels=40, norm=None, **framing)
    log_mel = np.log(np.maximum(mel, LOG_FLOOR))
    return (log_mel if kind == "log_mel" else librosa.feature.mfcc(S=log_mel, n_mfcc=13, norm="ortho")).T


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_equal_to_librosa(kind: str, rate: int) -> None:
    """Before normalisation, to 2e-3 in log power (absolute), everywhere."""
    module = KINDS[kind](rate)
    for audio in random_waveforms(1, 3, rate):
        expected = by_librosa(kind, audio, rate, module.n_fft, module.window, module.hop)
        actual = module.log_spectrum(torch.from_numpy(audio)[None])[0].numpy()
        np.testing.assert_allclose(actual, expected, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_num_frames_is_exact(kind: str) -> None:
    module = KINDS[kind](8000)
    for samples in (1, 79, 80, 81, 160, 999, 8000):
        audio, lengths = torch.randn(1, samples), torch.tensor([samples])
        features, frames = module(audio, lengths)
        assert features.shape == (1, module.num_frames(samples), module.num_bins)
        assert frames.item() == module.num_frames(samples)
        assert torch.isfinite(features).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["utterance", "running"])
def test_padding_changes_nothing(kind: str, level: str, device: torch.device) -> None:
    """Not even when what lies in the padding is not zero."""
    module = KINDS[kind](8000).to(device)
    module.level = level
    waveforms = random_waveforms(2, 5)
    audio, lengths = pad(waveforms)
    audio = torch.where(torch.arange(audio.shape[1]) < lengths[:, None], audio, torch.tensor(7.0))
    audio, lengths = audio.to(device), lengths.to(device)
    batch, frames = module(audio, lengths)
    for row, waveform in enumerate(waveforms):
        alone, _ = module(torch.from_numpy(waveform)[None].to(device), torch.tensor([len(waveform)], device=device))
        torch.testing.assert_close(batch[row, : frames[row]], alone[0], atol=1e-4, rtol=0)
        assert (batch[row, frames[row] :] == 0).all()


def test_normalisation_is_over_real_frames_only() -> None:
    features = torch.randn(2, 9, 4) * 3 + 5
    normal = normalize_level(features, torch.tensor([9, 4]))
    real = normal[1, :4]
    assert abs(real.mean().item()) < 1e-5
    torch.testing.assert_close(real.square().mean(), torch.tensor(1.0), atol=1e-4, rtol=0)


def test_fitted_bins_have_zero_mean_and_unit_deviation() -> None:
    module = LogMel(sample_rate=8000, bins=30)
    batches = [pad(random_waveforms(seed, 4)) for seed in range(3)]
    module.fit(batches)
    normal = [module(*batch) for batch in batches]
    frames = torch.cat([x[row, :length] for x, lengths in normal for row, length in enumerate(lengths)])
    torch.testing.assert_close(frames.mean(0), torch.zeros(30), atol=1e-4, rtol=0)
    torch.testing.assert_close(frames.std(0, unbiased=False), torch.ones(30), atol=1e-3, rtol=0)


def test_level_does_not_matter() -> None:
    audio = torch.from_numpy(random_waveforms(3, 1)[0])[None]
    module, lengths = LogMel(sample_rate=8000, bins=40), torch.tensor([audio.shape[1]])
    torch.testing.assert_close(module(audio, lengths)[0], module(0.25 * audio, lengths)[0], atol=2e-2, rtol=0)


def test_digital_silence_is_finite() -> None:
    features, _ = LogMel(sample_rate=16000)(torch.zeros(1, 1600), torch.tensor([1600]))
    torch.testing.assert_close(features, torch.zeros_like(features), atol=1e-2, rtol=0)


def test_running_level_is_of_what_was_heard_so_far() -> None:
    features, decay = torch.randn(2, 40, 3) * 3 + 5, 0.9
    normal, sums = running_level(features, decay=decay)
    for frame in (0, 1, 39):
        past = features[1, : frame + 1].double()
        weights = decay ** torch.arange(frame, -1, -1)[:, None] / 3
        weights = weights / (weights.sum() * 3)
        mean = (weights * past).sum()
        deviation = (weights * (past - mean).square()).sum().clamp_min(1).sqrt()
        torch.testing.assert_close(normal[1, frame].double(), (past[-1] - mean) / deviation, atol=1e-5, rtol=0)
    first, middle = running_level(features[:, :7], decay=decay)
    second, final = running_level(features[:, 7:], middle, decay=decay)
    torch.testing.assert_close(torch.cat([first, second], dim=1), normal)
    torch.testing.assert_close(final, sums)
    silence = torch.full((1, 300, 3), -13.8)
    loud, _ = running_level(torch.cat([silence, torch.zeros(1, 50, 3)], dim=1), decay=0.999)
    assert (loud[0, :300] == 0).all() and 1 < loud.max() < 20
