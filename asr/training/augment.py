"""What training does to each utterance, anew in every epoch, in batches, on the device.

All draws come from torch's default generator on the CPU, so that a seed gives one result everywhere.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asr.features import frame_mask

PAUSE_SECONDS = 0.2, 1.5  # the shortest and the longest between joined utterances
_PAUSE_DB = 30.0, 60.0  # by which a pause is quieter than the speech around it


def join(waveforms: Sequence[np.ndarray], pause: tuple[int, int]) -> np.ndarray:
    """Waveforms `(N,)` one after the other, each with a pause of faint noise; part of the last stands before the first.

    Each pause has from `pause[0]` to `pause[1]` samples, short ones more often: the logarithm is uniform. The level of
    all is drawn from 30 to 60 dB below the speech.
    """
    fewest, most = pause
    *between, around = (fewest * (most / fewest) ** torch.rand(len(waveforms))).round().int().tolist()
    before = int(torch.randint(around + 1, ()))
    pauses = [before, *between, around - before]
    low, high = _PAUSE_DB
    power = np.square(np.concatenate(waveforms)).mean() * 10 ** -((low + (high - low) * torch.rand(()).item()) / 10)
    noise = np.float32(np.sqrt(power)) * torch.randn(sum(pauses)).numpy()
    first, *rest = np.split(noise, np.cumsum(pauses)[:-1])
    return np.concatenate([first, *chain.from_iterable(zip(waveforms, rest, strict=True))])


def add_noise(audio: Tensor, lengths: Tensor, snr_db: tuple[float, float]) -> Tensor:
    """White noise at a signal-to-noise ratio drawn from `snr_db` (low, high), in dB, for each utterance.

    Shapes: audio `(B, N)`, lengths `(B,)` -> `(B, N)`; padding stays 0.
    """
    low, high = snr_db
    ratio = (low + (high - low) * torch.rand(len(audio), 1)).to(audio.device)
    power = audio.square().sum(1, keepdim=True) / lengths[:, None]
    # One stretch of noise, each utterance taking it from another point on: a draw for every sample costs more
    # than the spectrograms.
    size = audio.shape[1]
    stretch = torch.randn(2 * size).to(audio.device)
    noise = torch.stack([stretch[start : start + size] for start in torch.randint(size, (len(audio),)).tolist()])
    noise = noise * (power * 10 ** (-ratio / 10)).sqrt()
    return audio + noise * frame_mask(lengths, audio.shape[1])


def warp(
    features: Tensor,
    lengths: Tensor,
    *,
    bin_frequencies: Tensor,
    frequency: float = 0.0,
    tempo: float = 0.0,
    minimum_lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scales the frequency axis in Hz (another vocal tract) and the time axis (another tempo) of each utterance.

    The factors are drawn between `1 - x` and `1 + x`. No utterance gets shorter than its `minimum_lengths`, so
    that its transcript stays feasible. Shapes: `(B, T, F)`, `(B,)`, bin centres in Hz `(F,)` -> `(B, T', F)`,
    `(B,)`; bilinear interpolation; frames beyond the lengths are 0. After Jaitly and Hinton 2013 (VTLP).
    """
    batch, size, bins = features.shape
    scale = 1 + frequency * (2 * torch.rand(batch, 1) - 1)  # (B, 1)
    position = _bin_position(bin_frequencies[None] * scale, bin_frequencies).to(features.device)  # (B, F)
    stretch = (1 + tempo * (2 * torch.rand(batch) - 1)).to(features.device)
    new_lengths = (lengths * stretch).round().long()
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
    )  # (B, T', F, 2), in [-1, 1] as grid_sample wants it: first along F, then along T
    warped = functional.grid_sample(features[:, None], grid, padding_mode="border", align_corners=True)[:, 0]
    return warped * frame_mask(new_lengths, new_size)[:, :, None], new_lengths


def _bin_position(frequencies: Tensor, bin_frequencies: Tensor) -> Tensor:
    """Fractional bin index of each frequency (Hz), by linear interpolation between bin centres, clamped."""
    right = torch.searchsorted(bin_frequencies, frequencies.contiguous()).clamp(1, len(bin_frequencies) - 1)
    low, high = bin_frequencies[right - 1], bin_frequencies[right]
    return (right - 1 + (frequencies - low) / (high - low)).clamp(0, len(bin_frequencies) - 1)


def mask_bands(features: Tensor, *, count: int, max_bins: int) -> Tensor:
    """Sets `count` bands of up to `max_bins` bins of each utterance to 0, its mean (SpecAugment).

    Park et al. 2019, https://arxiv.org/abs/1904.08779. Shape `(B, T, F)`.
    """
    batch, _, bins = features.shape
    width = torch.rand(batch, count, 1) * (min(max_bins, bins) + 1)
    start = torch.rand(batch, count, 1) * (bins - width).clamp_min(0)
    index = torch.arange(bins)
    masked = ((index >= start.floor()) & (index < start.floor() + width.floor())).any(1)  # (B, F)
    return features.masked_fill(masked[:, None, :].to(features.device), 0.0)


def mask_times(features: Tensor, lengths: Tensor, *, per_frame: float, max_frames: int) -> Tensor:
    """Sets stretches of up to `max_frames` frames to 0, `per_frame` of them for each real frame on average.

    Their number grows with the utterance (Park et al. 2020, https://arxiv.org/abs/1912.05533), and no stretch
    is longer than a fifth of it. Shapes `(B, T, F)`, `(B,)`.
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
    """The augmentations of one training run; each argument at its default switches its part off."""

    def __init__(
        self,
        *,
        hop_seconds: float,
        bin_frequencies: Tensor | None,
        noise_snr_db: tuple[float, float] | None = None,
        frequency_warp: float = 0.0,
        tempo: float = 0.0,
        frequency_masks: int = 0,
        frequency_mask_bins: int = 16,
        time_masks_per_second: float = 0.0,
        time_mask_ms: float = 100.0,
    ) -> None:
        super().__init__()
        self.bin_frequencies = bin_frequencies
        self.noise_snr_db = noise_snr_db
        self.frequency_warp = frequency_warp
        self.tempo = tempo
        self.frequency_masks = frequency_masks
        self.frequency_mask_bins = frequency_mask_bins
        self.time_masks_per_frame = time_masks_per_second * hop_seconds
        self.time_mask_frames = max(1, round(time_mask_ms / 1000 / hop_seconds))

    def audio(self, audio: Tensor, lengths: Tensor) -> Tensor:
        """Waveforms `(B, N)`, lengths `(B,)` -> `(B, N)`."""
        return audio if self.noise_snr_db is None else add_noise(audio, lengths, self.noise_snr_db)

    def features(self, features: Tensor, lengths: Tensor, minimum_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised features `(B, T, F)`, lengths and fewest allowed frames `(B,)` -> features, lengths; no masks."""
        if not self.frequency_warp and not self.tempo:
            return features, lengths
        bins = self.bin_frequencies
        return warp(
            features,
            lengths,
            # Cepstra have no frequency axis to warp; the builder refuses that, and tempo needs none.
            bin_frequencies=torch.arange(features.shape[2]).float() if bins is None else bins,
            frequency=self.frequency_warp,
            tempo=self.tempo,
            minimum_lengths=minimum_lengths,
        )

    def masks(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features `(B, T, F)` with bands and stretches of each hidden, lengths `(B,)` -> features."""
        if self.frequency_masks:
            features = mask_bands(features, count=self.frequency_masks, max_bins=self.frequency_mask_bins)
        if self.time_masks_per_frame:
            features = mask_times(
                features, lengths, per_frame=self.time_masks_per_frame, max_frames=self.time_mask_frames
            )
        return features
