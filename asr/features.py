"""Spectral features of waveforms, in padded batches with lengths, on the device of the waveform.

Frame `t` is centred on sample `t * hop`. Both ends of an utterance are padded with zeros, so padding in a batch changes
nothing. All features are normalised twice. The first normalisation removes the level, of the whole utterance or of past
frames. The second scales each bin by its mean and deviation over the training data, which the model file holds.
Pitch bins follow the bins of the spectrum. They have no level, and are normalised by the second step alone.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal

import librosa
import torch
import torchaudio
from torch import Tensor, nn

from asr.lengths import Count, hop_samples, num_frames, window_samples
from asr.pitch import autocorrelation, fundamentals

LOG_FLOOR = 1e-6  # power below that of one 16-bit step of noise: the logarithm of digital silence stays finite
LEVEL_SECONDS = 4.0  # seconds after which the weight of a frame in a running level is 1/e
LEAST_VARIANCE = 1.0  # least variance of a running level; limits the features of speech that follows digital silence


Level = Literal["utterance", "running"]


class Spectrogram(nn.Module):
    """Log power spectrogram with `n_fft / 2 + 1` bins and pitch bins, and the base class of `LogMel` and `MFCC`.

    Shapes: audio `(B, N)` and lengths `(B,)` in samples -> features `(B, T, F)` and lengths `(B,)` in frames.
    """

    window_function: Tensor
    autocorrelation: Tensor  # (n_fft / 2 + 1, K + 1), see `asr.pitch`
    bin_mean: Tensor  # (F,), mean over the training data; 0 before `fit`
    bin_deviation: Tensor  # (F,), standard deviation over the training data; 1 before `fit`

    def __init__(
        self,
        *,
        sample_rate: int,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        level: Level = "utterance",
        pitch_bins: int = 0,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.level = level
        self.window = window_samples(sample_rate, window_ms)
        self.hop = hop_samples(sample_rate, hop_ms)
        self.n_fft = 2 ** math.ceil(math.log2(self.window))
        self.register_buffer("window_function", torch.hann_window(self.window), persistent=False)
        self.pitch_bins = pitch_bins
        matrix = torch.from_numpy(autocorrelation(self.n_fft, sample_rate, pitch_bins)).float()
        self.register_buffer("autocorrelation", matrix, persistent=False)
        self._reset_statistics(self.n_fft // 2 + 1)

    @property
    def num_bins(self) -> int:
        return len(self.bin_mean)

    @property
    def level_decay(self) -> float:
        """Factor by which the weight of a frame in a running level falls from one frame to the next."""
        return math.exp(-self.hop / self.sample_rate / LEVEL_SECONDS)

    @property
    def bin_frequencies(self) -> Tensor | None:
        """Centre of each bin of the spectrum in Hz; None if the bins are not frequencies."""
        return torch.linspace(0, self.sample_rate / 2, self.n_fft // 2 + 1)

    @property
    def pitch_frequencies(self) -> Tensor:
        """Fundamental frequency of each pitch bin in Hz, shape `(K,)`."""
        return torch.from_numpy(fundamentals(self.pitch_bins)).float()

    def num_frames(self, num_samples: Count) -> Count:
        """Return the number of feature frames of `num_samples` samples: exactly `1 + floor(N / hop)`."""
        return num_frames(num_samples, self.hop)

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features, frames = self._level(audio, lengths)
        return self.normalize_bins(features) * frame_mask(frames, features.shape[1])[:, :, None], frames

    def normalize_bins(self, features: Tensor) -> Tensor:
        """Scale each bin of features `(B, T, F)` by its mean and deviation over the training data."""
        return (features - self.bin_mean) / self.bin_deviation

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the mean and deviation of each bin from `(audio, lengths)` batches of training data."""
        total = squares = torch.zeros_like(self.bin_mean, dtype=torch.float64)
        count = 0
        for audio, lengths in batches:
            features, frames = self._level(audio.to(self.bin_mean.device), lengths.to(self.bin_mean.device))
            total = total + features.double().sum((0, 1))
            squares = squares + features.double().square().sum((0, 1))
            count += int(frames.sum())
        mean = total / max(count, 1)
        self.bin_mean.copy_(mean)
        self.bin_deviation.copy_((squares / max(count, 1) - mean.square()).clamp_min(1e-4).sqrt())

    def _level(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features `(B, T, F)` without the level of each utterance, 0 beyond the lengths, and their lengths."""
        features = self.log_spectrum(audio * frame_mask(lengths, audio.shape[1]))
        frames = self.num_frames(lengths)
        if self.level == "utterance":
            spectrum, pitch = self._parts(features)
            features = torch.cat([normalize_level(spectrum, frames), pitch], 2)
        else:
            features, _ = self.running_level(features)
        return features * frame_mask(frames, features.shape[1])[:, :, None], frames

    def running_level(self, features: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Remove the level of past frames from features `(B, T, F)`; continue and return the `sums` of the level."""
        spectrum, pitch = self._parts(features)
        spectrum, sums = running_level(spectrum, sums, decay=self.level_decay)
        return torch.cat([spectrum, pitch], 2), sums

    def _parts(self, features: Tensor) -> tuple[Tensor, ...]:
        """Divide features into the bins of the spectrum, which have a level, and pitch bins."""
        return features.split([self.num_bins - self.pitch_bins, self.pitch_bins], 2)

    def _reset_statistics(self, spectral_bins: int) -> None:
        self.register_buffer("bin_mean", torch.zeros(spectral_bins + self.pitch_bins))
        self.register_buffer("bin_deviation", torch.ones(spectral_bins + self.pitch_bins))

    def log_spectrum(self, audio: Tensor) -> Tensor:
        """Compute features before normalisation, `(B, T, F)`, of audio `(B, N)` that is zero beyond each length."""
        power = self.power(audio)
        if not self.pitch_bins:
            return self.bands(power)
        similarity = power.clamp_min(LOG_FLOOR).sqrt().sqrt() @ self.autocorrelation
        return torch.cat([self.bands(power), similarity[:, :, :-1] / similarity[:, :, -1:]], 2)

    def bands(self, power: Tensor) -> Tensor:
        """Compute the bins of the spectrum from a power spectrum `(B, T, n_fft / 2 + 1)`."""
        return power.clamp_min(LOG_FLOOR).log()

    def power(self, audio: Tensor) -> Tensor:
        """Compute the power spectrum `(B, T, n_fft / 2 + 1)`, zero-padded as librosa's `pad_mode="constant"`."""
        spectrum = torchaudio.functional.spectrogram(
            audio,
            pad=0,
            window=self.window_function,
            n_fft=self.n_fft,
            hop_length=self.hop,
            win_length=self.window,
            power=None,  # `power=2` takes a square root and squares it
            normalized=False,
            center=True,
            pad_mode="constant",
        )  # (B, n_fft / 2 + 1, T), complex
        return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)


class LogMel(Spectrogram):
    """Log energies in `bins` triangular bands on the Slaney mel scale, equal to `librosa.feature.melspectrogram`."""

    filters: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        bins: int = 80,
        **common: Any,
    ) -> None:
        """Build the bands; `common` are the other arguments of `Spectrogram`."""
        super().__init__(sample_rate=sample_rate, **common)
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
        self._reset_statistics(bins)

    @property
    def bin_frequencies(self) -> Tensor | None:
        bands = librosa.mel_frequencies(self.num_bins - self.pitch_bins + 2, fmin=0.0, fmax=self.sample_rate / 2)
        return torch.tensor(bands[1:-1], dtype=torch.float32)

    def bands(self, power: Tensor) -> Tensor:
        return (power @ self.filters).clamp_min(LOG_FLOOR).log()


class MFCC(LogMel):
    """Cepstral coefficients: the first `coefficients` of the orthonormal cosine transform of the log mel bands."""

    transform: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        coefficients: int = 20,
        bins: int = 80,
        **common: Any,
    ) -> None:
        """Build the transform; `common` are the other arguments of `Spectrogram`."""
        super().__init__(sample_rate=sample_rate, bins=bins, **common)
        transform = torchaudio.functional.create_dct(coefficients, bins, norm="ortho")
        self.register_buffer("transform", transform, persistent=False)  # (bins, F)
        self._reset_statistics(coefficients)

    @property
    def bin_frequencies(self) -> Tensor | None:
        return None

    def bands(self, power: Tensor) -> Tensor:
        return super().bands(power) @ self.transform


def frame_mask(lengths: Tensor, size: int) -> Tensor:
    """Return a mask `(B, size)` that is true on real frames, for `lengths (B,)`."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def normalize_level(features: Tensor, lengths: Tensor) -> Tensor:
    """Scale each utterance to zero mean and unit variance over all its real frames and bins.

    One mean and one scale for all bins remove the level and keep the spectrum. A mean for each bin would also remove
    the average spectrum, which in a recording of one word distinguishes the words: on isolated digits it gave twice the
    errors. Frames beyond the lengths become exactly 0. Shapes: `(B, T, F)`, lengths `(B,)` -> `(B, T, F)`.
    """
    mask = frame_mask(lengths, features.shape[1])[:, :, None]
    count = lengths[:, None, None] * features.shape[2]
    centred = (features - (features * mask).sum((1, 2), keepdim=True) / count) * mask
    variance = centred.square().sum((1, 2), keepdim=True) / count
    return centred / (variance + 1e-5).sqrt()


def running_level(features: Tensor, sums: Tensor | None = None, *, decay: float) -> tuple[Tensor, Tensor]:
    """Scale each frame by the mean and variance of all bins of past frames; it is causal, so streams can use it.

    The weight of a frame is `decay` times the weight of the next frame. Returns features `(B, T, F)` and the weighted
    sums `(3, B)` over frames: of 1, of the features and of their squares. Pass `sums` to continue a sequence; parts
    give the features of the whole.
    """
    moments = torch.stack([torch.ones_like(features[:, :, 0]), features.mean(2), features.square().mean(2)]).double()
    coefficients = torch.tensor([[1.0, -decay], [1.0, 0.0]], dtype=moments.dtype, device=moments.device)
    # (3, B, T): y[t] = x[t] + decay * y[t - 1]
    total = torchaudio.functional.lfilter(moments, *coefficients, clamp=False)
    if sums is not None:
        steps = torch.arange(1, features.shape[1] + 1, dtype=moments.dtype, device=moments.device)
        total = total + sums[:, :, None] * decay**steps
    count, features_sum, squares = total
    mean = features_sum / count
    deviation = (squares / count - mean.square()).clamp_min(LEAST_VARIANCE).sqrt()
    return (features - mean.to(features)[:, :, None]) / deviation.to(features)[:, :, None], total[:, :, -1]
