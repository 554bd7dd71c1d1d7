"""Waveform -> spectral features, in batches with lengths, on whatever device the waveform is.

Frame `t` is centred on sample `t * hop`; beyond either end of an utterance there are zeros, so padding in a
batch changes nothing. Every front end ends with a normalisation over the real frames of each utterance.
"""

import math
from typing import TypeVar

import librosa
import torch
import torchaudio
from torch import Tensor, nn

Count = TypeVar("Count", int, Tensor)

LOG_FLOOR = 1e-6  # below the power of one 16-bit step of noise: digital silence stays finite and quiet stays quiet


class Spectrogram(nn.Module):
    """Log power spectrogram, `F = n_fft / 2 + 1`; the base of the other front ends.

    Shapes: audio `(B, N)` and lengths `(B,)` in samples -> features `(B, T, F)` and lengths `(B,)` in frames.
    """

    window_function: Tensor

    def __init__(self, *, sample_rate: int, window_ms: float = 25.0, hop_ms: float = 10.0) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.window = max(2, round(sample_rate * window_ms / 1000))
        self.hop = max(1, round(sample_rate * hop_ms / 1000))
        self.n_fft = 2 ** math.ceil(math.log2(self.window))
        self.register_buffer("window_function", torch.hann_window(self.window), persistent=False)

    @property
    def num_bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def bin_frequencies(self) -> Tensor | None:
        """Centre of each bin in Hz, shape `(F,)`; None where bins are no frequencies."""
        return torch.linspace(0, self.sample_rate / 2, self.n_fft // 2 + 1)

    def num_frames(self, num_samples: Count) -> Count:
        """Feature frames of `num_samples` samples: exactly `1 + floor(N / hop)`."""
        return 1 + num_samples // self.hop

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = torch.arange(audio.shape[1], device=audio.device) < lengths[:, None]
        features = self.log_spectrum(audio * inside)  # (B, T, F)
        frames = self.num_frames(lengths)
        return normalize(features, frames), frames

    def log_spectrum(self, audio: Tensor) -> Tensor:
        """Audio `(B, N)`, zero beyond each length -> features before normalisation `(B, T, F)`."""
        return self.power(audio).clamp_min(LOG_FLOOR).log()

    def power(self, audio: Tensor) -> Tensor:
        """Power spectrum `(B, T, n_fft / 2 + 1)`, zero-padded at both ends (librosa: `pad_mode="constant"`)."""
        spectrum = torchaudio.functional.spectrogram(
            audio,
            pad=0,
            window=self.window_function,
            n_fft=self.n_fft,
            hop_length=self.hop,
            win_length=self.window,
            power=None,  # its own power takes a square root first, and squares that
            normalized=False,
            center=True,
            pad_mode="constant",
        )  # (B, n_fft / 2 + 1, T), complex
        return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)


class LogMel(Spectrogram):
    """Log energies in `bins` triangular bands on the Slaney mel scale, as `librosa.feature.melspectrogram`."""

    filters: Tensor

    def __init__(self, *, sample_rate: int, bins: int = 80, window_ms: float = 25.0, hop_ms: float = 10.0) -> None:
        super().__init__(sample_rate=sample_rate, window_ms=window_ms, hop_ms=hop_ms)
        filters = torchaudio.functional.melscale_fbanks(
            n_freqs=self.n_fft // 2 + 1,
            f_min=0.0,
            f_max=sample_rate / 2,
            n_mels=bins,
            sample_rate=sample_rate,
            norm=None,
            mel_scale="slaney",
        )
        self.register_buffer("filters", filters, persistent=False)  # (n_fft / 2 + 1, F)

    @property
    def num_bins(self) -> int:
        return int(self.filters.shape[1])

    @property
    def bin_frequencies(self) -> Tensor | None:
        bands = librosa.mel_frequencies(self.num_bins + 2, fmin=0.0, fmax=self.sample_rate / 2)
        return torch.tensor(bands[1:-1], dtype=torch.float32)

    def log_spectrum(self, audio: Tensor) -> Tensor:
        return (self.power(audio) @ self.filters).clamp_min(LOG_FLOOR).log()


class MFCC(LogMel):
    """The first `coefficients` of the orthonormal cosine transform of the log mel bands."""

    transform: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        coefficients: int = 20,
        bins: int = 80,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
    ) -> None:
        super().__init__(sample_rate=sample_rate, bins=bins, window_ms=window_ms, hop_ms=hop_ms)
        transform = torchaudio.functional.create_dct(coefficients, bins, norm="ortho")
        self.register_buffer("transform", transform, persistent=False)  # (bins, F)

    @property
    def num_bins(self) -> int:
        return int(self.transform.shape[1])

    @property
    def bin_frequencies(self) -> Tensor | None:
        return None

    def log_spectrum(self, audio: Tensor) -> Tensor:
        return super().log_spectrum(audio) @ self.transform


def frame_mask(lengths: Tensor, size: int) -> Tensor:
    """Lengths `(B,)` -> `(B, size)`, true on real frames."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def normalize(features: Tensor, lengths: Tensor) -> Tensor:
    """Zero mean in each bin and unit variance over all bins, over the real frames of each utterance.

    One scale for all bins keeps the shape of the spectrum, which a scale for each bin flattens in short
    utterances. Frames beyond the lengths become exactly 0. Shapes `(B, T, F)`, `(B,)` -> `(B, T, F)`.
    """
    mask = frame_mask(lengths, features.shape[1])[:, :, None]
    count = lengths[:, None, None]
    mean = (features * mask).sum(1, keepdim=True) / count
    centred = (features - mean) * mask
    variance = centred.square().sum((1, 2), keepdim=True) / (count * features.shape[2])
    return centred / (variance + 1e-5).sqrt()
