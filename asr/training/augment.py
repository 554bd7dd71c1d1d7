"""Augmentations: changes to each training utterance, drawn anew in every epoch, computed in batches on the device.

Rooms, recorded noise and channels are computed on the CPU, each utterance by itself.

All random numbers come from torch's default generator on the CPU, so that a seed gives equal results on all devices.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch.nn import functional

from asr.acoustics.surroundings import NUM_DRAWS, Surroundings
from asr.features import frame_mask

_WITHOUT_PITCH = 0.3  # share of the utterances whose pitch bins are masked
_THREADS = min(4, os.cpu_count() or 1)  # that compute surroundings; codecs and Fourier transforms release Python's lock


def surround(audio: Tensor, lengths: Tensor, surroundings: Surroundings) -> Tensor:
    """Put each utterance into drawn surroundings.

    Shapes: audio `(B, N)`, lengths `(B,)` -> `(B, N)`; padding stays 0.
    """
    draws = torch.rand(len(audio), NUM_DRAWS, dtype=torch.float64).numpy()
    rows = [row[:length] for row, length in zip(audio.cpu().numpy(), lengths.tolist(), strict=True)]
    changed = torch.zeros(audio.shape)
    with ThreadPoolExecutor(_THREADS) as pool:
        for row, samples in zip(changed, pool.map(surroundings, rows, draws), strict=True):
            row[: len(samples)] = torch.from_numpy(samples)
    return changed.to(audio.device)


def add_noise(audio: Tensor, lengths: Tensor, snr_db: tuple[float, float]) -> Tensor:
    """Add white noise at a signal-to-noise ratio drawn from `snr_db` (low, high), in dB, for each utterance.

    Shapes: audio `(B, N)`, lengths `(B,)` -> `(B, N)`; padding stays 0.
    """
    low, high = snr_db
    ratio = (low + (high - low) * torch.rand(len(audio), 1)).to(audio.device)
    power = audio.square().sum(1, keepdim=True) / lengths[:, None]
    # All utterances use parts of one noise signal, because drawing each sample takes longer than the spectrograms.
    size = audio.shape[1]
    signal = torch.randn(2 * size).to(audio.device)
    noise = torch.stack([signal[start : start + size] for start in torch.randint(size, (len(audio),)).tolist()])
    noise = noise * (power * 10 ** (-ratio / 10)).sqrt()
    return audio + noise * frame_mask(lengths, audio.shape[1])


def warp(
    features: Tensor,
    lengths: Tensor,
    *,
    bin_frequencies: Tensor,
    pitch_frequencies: Tensor | None = None,
    frequency: float = 0.0,
    tempo: float = 0.0,
    minimum_lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scale the frequency axis (another vocal tract) and the time axis (another tempo) of each utterance.

    The factors are drawn between `1 - x` and `1 + x`, where x is `frequency` or `tempo`. No utterance becomes shorter
    than its `minimum_lengths`, so that its transcript stays feasible. The frequencies, in Hz, are those of the bins of
    the spectrum, and of the pitch bins after them, which move by the same factor. Shapes: `(B, T, F)`, lengths `(B,)`
    -> `(B, T', F)`, lengths `(B,)`. The interpolation is bilinear; frames beyond the lengths are 0. After Jaitly and
    Hinton 2013 (VTLP).
    """
    batch, size, bins = features.shape
    scale = 1 + frequency * (2 * torch.rand(batch, 1) - 1)  # (B, 1)
    position = _bin_position(bin_frequencies[None] * scale, bin_frequencies)
    if pitch_frequencies is not None:
        pitch_position = len(bin_frequencies) + _bin_position(pitch_frequencies[None] * scale, pitch_frequencies)
        position = torch.cat([position, pitch_position], 1)
    position = position.to(features.device)  # (B, F)
    duration = (1 + tempo * (2 * torch.rand(batch) - 1)).to(features.device)
    new_lengths = (lengths * duration).round().long()
    if minimum_lengths is not None:
        new_lengths = torch.where(new_lengths < minimum_lengths, lengths, new_lengths)
    new_size = int(new_lengths.max())
    time = torch.arange(new_size, device=features.device) * ((lengths - 1) / (new_lengths - 1).clamp_min(1))[:, None]
    grid = torch.stack(
        [
            position[:, None, :].expand(batch, new_size, bins) * (2 / max(bins - 1, 1)) - 1,
            time[:, :, None].expand(batch, new_size, bins) * (2 / max(size - 1, 1)) - 1,
        ],
        dim=-1,
    )  # (B, T', F, 2), in [-1, 1] for grid_sample: the position along F, then along T
    warped = functional.grid_sample(features[:, None], grid, padding_mode="border", align_corners=True)[:, 0]
    return warped * frame_mask(new_lengths, new_size)[:, :, None], new_lengths


def stretch(features: Tensor, lengths: Tensor, new_lengths: Tensor) -> Tensor:
    """Scale the time axis of each utterance to `new_lengths (B,)`, as `warp` does.

    Shapes: `(B, T, F)`, lengths `(B,)` -> `(B, T', F)`. The interpolation is linear; frames beyond the lengths are 0.
    """
    size = int(new_lengths.max())
    step = (lengths - 1) / (new_lengths - 1).clamp_min(1)
    time = torch.arange(size, device=features.device) * step[:, None]
    time = torch.minimum(time, (lengths - 1)[:, None])  # (B, T')
    low = time.floor().long()
    high = torch.minimum(low + 1, (lengths - 1)[:, None])
    before, after = (features.gather(1, at[:, :, None].expand(-1, -1, features.shape[2])) for at in (low, high))
    stretched = torch.lerp(before, after, (time - low)[:, :, None])
    return stretched * frame_mask(new_lengths, size)[:, :, None]


def _bin_position(frequencies: Tensor, bin_frequencies: Tensor) -> Tensor:
    """Return the fractional bin index of each frequency in Hz, interpolated between bin centres and clamped."""
    right = torch.searchsorted(bin_frequencies, frequencies.contiguous()).clamp(1, len(bin_frequencies) - 1)
    low, high = bin_frequencies[right - 1], bin_frequencies[right]
    return (right - 1 + (frequencies - low) / (high - low)).clamp(0, len(bin_frequencies) - 1)


def mask_bands(features: Tensor, *, count: int, max_bins: int, pitch_bins: int = 0) -> Tensor:
    """Set `count` frequency bands of up to `max_bins` bins of each utterance to 0, which is its mean (SpecAugment).

    The last `pitch_bins` are in no band. Park et al. 2019, https://arxiv.org/abs/1904.08779. Shape: `(B, T, F)`.
    """
    batch, bins = len(features), features.shape[2] - pitch_bins
    width = torch.rand(batch, count, 1) * (min(max_bins, bins) + 1)
    start = torch.rand(batch, count, 1) * (bins - width).clamp_min(0)
    index = torch.arange(features.shape[2])
    masked = ((index >= start.floor()) & (index < start.floor() + width.floor())).any(1)  # (B, F)
    return features.masked_fill(masked[:, None, :].to(features.device), 0.0)


def mask_pitch(features: Tensor, pitch_bins: int) -> Tensor:
    """Set the last `pitch_bins` bins of a share of the utterances to 0.

    Without it, a model that is trained on little data knows its utterances by their melody. Shape: `(B, T, F)`.
    """
    masked = torch.zeros(len(features), features.shape[2], dtype=torch.bool)
    masked[:, features.shape[2] - pitch_bins :] = torch.rand(len(features), 1) < _WITHOUT_PITCH
    return features.masked_fill(masked[:, None, :].to(features.device), 0.0)


def mask_times(features: Tensor, lengths: Tensor, *, per_frame: float, max_frames: int) -> Tensor:
    """Set spans of up to `max_frames` frames to 0, on average `per_frame` spans for each real frame.

    The number of spans grows with the utterance (Park et al. 2020, https://arxiv.org/abs/1912.05533). No span is longer
    than a fifth of the utterance. Shapes: `(B, T, F)`, lengths `(B,)` -> `(B, T, F)`.
    """
    real = lengths.cpu()[:, None].float()  # (B, 1)
    expected = real * per_frame
    count = int(expected.max().ceil()) + 1
    drawn = torch.arange(count) < (expected + torch.rand(len(real), 1)).floor()  # (B, count)
    width = (torch.rand(len(real), count) * (torch.minimum(real / 5, torch.tensor(float(max_frames))) + 1)).floor()
    start = (torch.rand(len(real), count) * (real - width).clamp_min(0)).floor()
    index = torch.arange(features.shape[1])
    masked = (drawn[..., None] & (index >= start[..., None]) & (index < (start + width)[..., None])).any(1)  # (B, T)
    return features.masked_fill(masked[:, :, None].to(features.device), 0.0)


class Augment(nn.Module):
    """The augmentations of one training run; the default of each argument switches its augmentation off."""

    def __init__(
        self,
        *,
        hop_seconds: float,
        bin_frequencies: Tensor | None,
        pitch_frequencies: Tensor | None = None,
        surroundings: Surroundings | None = None,
        noise_snr_db: tuple[float, float] | None = None,
        frequency_warp: float = 0.0,
        tempo: float = 0.0,
        frequency_masks: int = 0,
        frequency_mask_bins: int = 16,
        time_masks_per_second: float = 0.0,
        time_mask_ms: float = 100.0,
    ) -> None:
        """`noise_snr_db` is that of white noise."""
        super().__init__()
        self.bin_frequencies = bin_frequencies
        self.pitch_frequencies = pitch_frequencies
        self._pitch_bins = 0 if pitch_frequencies is None else len(pitch_frequencies)
        self.surroundings = surroundings
        self.noise_snr_db = noise_snr_db
        self.frequency_warp = frequency_warp
        self.tempo = tempo
        self.frequency_masks = frequency_masks
        self.frequency_mask_bins = frequency_mask_bins
        self.time_masks_per_frame = time_masks_per_second * hop_seconds
        self.time_mask_frames = max(1, round(time_mask_ms / 1000 / hop_seconds))

    def audio(self, audio: Tensor, lengths: Tensor) -> Tensor:
        """Augment waveforms `(B, N)`, lengths `(B,)`: return waveforms `(B, N)`."""
        if self.surroundings is not None:
            audio = surround(audio, lengths, self.surroundings)
        return audio if self.noise_snr_db is None else add_noise(audio, lengths, self.noise_snr_db)

    def features(self, features: Tensor, lengths: Tensor, minimum_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Warp normalised features `(B, T, F)`, lengths `(B,)`: return features and lengths, without masks.

        No utterance becomes shorter than its `minimum_lengths (B,)`, in frames.
        """
        if not self.frequency_warp and not self.tempo:
            return features, lengths
        bins = self.bin_frequencies
        return warp(
            features,
            lengths,
            # Cepstra have no frequency axis: the builder refuses frequency_warp, and tempo ignores the frequencies.
            bin_frequencies=torch.arange(features.shape[2] - self._pitch_bins).float() if bins is None else bins,
            pitch_frequencies=self.pitch_frequencies,
            frequency=self.frequency_warp,
            tempo=self.tempo,
            minimum_lengths=minimum_lengths,
        )

    def masks(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Mask frequency bands, pitch bins and time spans of features `(B, T, F)`, lengths `(B,)`: return features."""
        if self.frequency_masks:
            features = mask_bands(
                features,
                count=self.frequency_masks,
                max_bins=self.frequency_mask_bins,
                pitch_bins=self._pitch_bins,
            )
            if self._pitch_bins:
                features = mask_pitch(features, self._pitch_bins)
        if self.time_masks_per_frame:
            features = mask_times(
                features, lengths, per_frame=self.time_masks_per_frame, max_frames=self.time_mask_frames
            )
        return features
