"""The task of pre-training an encoder on recordings without texts: it reconstructs masked features.

After Wang, Tang and Livescu 2020, https://arxiv.org/abs/2001.10603: masked reconstruction for bidirectional LSTMs.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asr.batching import Joined, pad, read_batches
from asr.config import Config
from asr.errors import ConfigError
from asr.figures.training import reconstruction_picture
from asr.figures.utterance import median_utterance
from asr.nn.reconstruction import masked_error
from asr.pretrained import Pretrained
from asr.run_log import Row
from asr.training import watch
from asr.training.data import Corpora
from asr.training.speech import SpeechTask, with_few_sizes

_LITTLE = 90.0  # % of the error of the mean
_MASKS_SEED = 0  # validation masks equal parts in every epoch and in every run


class PretrainingTask(SpeechTask[Pretrained, Corpora]):
    """Pre-training of an encoder; the targets are the masked features of the utterances."""

    target = "utterance"
    criterion = "reconstruction_error"
    errors = ("reconstruction_error",)

    def __init__(self, config: Config, data: Corpora, device: torch.device) -> None:
        """Create a model with fresh weights, or with the weights of `training.start_from`.

        Raises ConfigError if the configuration masks nothing.
        """
        if not (config.augment.frequency_masks or config.augment.time_masks_per_second):
            raise ConfigError(
                "task=pretraining: needs augment.time_masks_per_second or augment.frequency_masks of more than 0, "
                "because it learns to reconstruct what they mask"
            )
        super().__init__(config, data, fresh_model(config).to(device))
        self.baseline_loss = self._measure()[1]

    def num_targets(self, batch: list[Joined]) -> int:
        return len(batch)

    def load(self, batch: list[Joined]) -> tuple[Tensor, Tensor, int]:
        """Load audio `(B, N)`, lengths `(B,)` in samples, and the number of recordings that can be read."""
        found, audio, lengths = self.load_audio(batch)
        return audio, lengths, len(found)

    def loss(self, model: nn.Module, data: tuple[Tensor, Tensor, int]) -> Tensor:
        """Compute the squared error of masked features, averaged over each utterance, summed over utterances."""
        audio, lengths, number = data
        features, frames = self.unmasked(audio, lengths, torch.ones_like(lengths))
        features = with_few_sizes(features)
        hidden = self._mask(features, frames)
        errors = masked_error(model(features.masked_fill(hidden, 0.0), frames), features, hidden, frames)
        return errors.sum() if number else 0 * errors.sum()  # no recording can be read: silence, without weight

    def _mask(self, features: Tensor, frames: Tensor) -> Tensor:
        """Draw which values of features `(B, T, F)` are masked."""
        return self.augment.masks(torch.ones_like(features), frames) == 0

    def masked(self, indices: Sequence[int], waveforms: Iterable[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        """Return features `(B, T, F)` of validation utterances, lengths `(B,)` in frames, and masks `(B, T, F)`.

        The masks are equal in each call with equal `indices`.
        """
        audio, lengths = pad(waveforms)
        features, frames = self.model.features(audio.to(self.model.device), lengths.to(self.model.device))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_MASKS_SEED + indices[0])
            return features, frames, self._mask(features, frames)

    @torch.inference_mode()
    def _measure(self) -> tuple[float, float]:
        """Return the mean error of the model on validation data, and that of a model that answers 0, the mean."""
        validation = self.data.validation
        self.module.eval()
        found, silent = 0.0, 0.0
        for batch in read_batches(validation.num_samples, validation.audio, sample_rate=validation.sample_rate):
            features, frames, hidden = self.masked(*batch)
            answer = self.module(features.masked_fill(hidden, 0.0), frames)
            found += masked_error(answer, features, hidden, frames).sum().item()
            silent += masked_error(torch.zeros_like(features), features, hidden, frames).sum().item()
        return found / len(validation), silent / len(validation)

    def evaluate(self) -> Row:
        loss, silent = self._measure()
        return {
            "validation_loss": loss,
            "no_listening_loss": silent,
            "reconstruction_error": 100 * loss / silent if silent else math.nan,
            "samples": [],
        }

    def check(self, log: Sequence[Row], step: int) -> None:
        """Never stop: a model that reconstructs nothing shows in the log, and costs no transcripts."""

    def warning(self, row: Row) -> str:
        return ""

    def verdict(self, log: Sequence[Row], kept: Row) -> list[str]:
        error = kept["reconstruction_error"]
        if error > _LITTLE:
            return [
                f"verdict: it learned little: the error of masked parts is {error:.1f} % of that of their mean; it "
                "needs more recordings or more training.epochs"
            ]
        return [f"verdict: it learned: the error of masked parts is {error:.1f} % of that of their mean"]

    def line(self, row: Row) -> str:
        loss = watch.format_loss(row["validation_loss"])
        return f"validation loss {loss}  reconstruction error {row['reconstruction_error']:.2f} %"

    @torch.inference_mode()
    def picture(self, path: Path, log: Sequence[Row]) -> None:
        validation = self.data.validation
        index = median_utterance(validation)
        features, frames, hidden = self.masked([index], [validation.audio(index)])
        shown = features.masked_fill(hidden, 0.0)
        self.module.eval()
        found = torch.where(hidden, self.module(shown, frames), features)
        panels = {"features": features, "masked": shown, "reconstructed": found}
        reconstruction_picture(
            path,
            log,
            {name: panel[0].cpu().numpy() for name, panel in panels.items()},
            centres=self.model.features.bin_frequencies,
            seconds=float(validation.num_samples[index]) / validation.sample_rate,
            name=validation.utterances[index].id,
        )


def fresh_model(config: Config) -> Pretrained:
    """Create a model with fresh weights, whose outputs are the features of one encoder frame."""
    bins = Pretrained(config, 1).features.num_bins
    return Pretrained(config, bins * config.model.subsampling)
