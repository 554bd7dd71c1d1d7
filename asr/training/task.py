"""The interface between the training loop, which is one, and its tasks: recogniser, classifier, language model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from asr.run_log import Row

Batch = TypeVar("Batch", bound=Sequence[Any])


class Task(ABC, Generic[Batch]):
    """A module, its batches, its loss, and its evaluation on validation data.

    `criterion` is a field of the log, one of `CRITERION_NAMES`; the epoch with its lowest value is kept.
    """

    module: nn.Module
    criterion: str

    @abstractmethod
    def plans(self, epochs: int | None = None) -> Sequence[list[Batch]]:
        """Return the batches of each of `epochs` epochs (default: as configured).

        The learning-rate schedule needs their number before the first step. More epochs begin with equal batches.
        """

    def expect(self, batches: Sequence[Batch]) -> None:
        """Take note of the batches that come next, so that their data can be read ahead."""

    @abstractmethod
    def num_targets(self, batch: Batch) -> int:
        """Return the number by which the loss of a batch is divided: units, words or utterances."""

    @abstractmethod
    def load(self, batch: Batch) -> Any:
        """Read the data of a batch and move it to the device, without further computation, for `loss`."""

    @abstractmethod
    def loss(self, model: nn.Module, data: Any) -> Tensor:
        """Compute the loss of loaded data in nats, summed over its targets; `model` is the prepared `module`."""

    @abstractmethod
    def evaluate(self) -> Row:
        """Evaluate the model on validation data; return the task's fields of the log, including the criterion."""

    @abstractmethod
    def line(self, row: Row) -> str:
        """Format the validation scores of a row for the line after each epoch."""

    @abstractmethod
    def save(self, path: Path, row: Row) -> None:
        """Write the model file of the epoch of `row`."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a digest of settings, first weights and data; a checkpoint with another digest is not used."""

    @abstractmethod
    def leave_out(self, batch: Batch, path: Path) -> str:
        """Save a batch without a finite loss at `path`, adding a suffix, and return words that name the batch."""

    def split(self, batch: Batch, part: int, parts: int) -> Batch:
        """Return share `part` of `parts` of a batch, for one of several processes or to save memory."""
        return batch[part::parts]  # type: ignore[return-value]

    def heaviest(self, batches: Sequence[Batch]) -> Batch:
        """Return the batch that needs most memory."""
        return max(batches, key=len)

    def warning(self, row: Row) -> str:
        """Return a warning about the epoch of `row` for the person who watches, or an empty text."""
        return ""

    def verdict(self, log: Sequence[Row], kept: Row) -> list[str]:
        """Return lines about what a finished run has learned; `kept` is the row of the epoch that is kept."""
        return []

    def check(self, log: Sequence[Row], step: int) -> None:
        """Raise TrainingError if the log shows that more training is useless."""

    def draw(self, out: Path, log: Sequence[Row]) -> None:
        """Draw the pictures of the run so far."""

    def state(self) -> dict[str, Any]:
        """Return the state that is carried from one batch to the next, for a checkpoint."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
