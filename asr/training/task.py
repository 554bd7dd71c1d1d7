"""What the training loop trains: the seam between the loop, which is one, and the members of the family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from asr.run_log import Row

Batch = TypeVar("Batch", bound=Sequence[Any])


class Task(ABC, Generic[Batch]):
    """A module, its batches, its loss, and how good it is on held-out data.

    `criterion` is the field of a row of the log whose least value marks the epoch that is kept.
    """

    module: nn.Module
    criterion: str

    @abstractmethod
    def plans(self) -> list[list[Batch]]:
        """The batches of every epoch, known before the first, so that the schedule knows the number of steps."""

    @abstractmethod
    def num_targets(self, batch: Batch) -> int:
        """What the loss of a batch is divided by: units, words, utterances."""

    @abstractmethod
    def load(self, batch: Batch) -> Any:
        """The data of a batch, as `loss` takes it: read and on the device, nothing computed yet."""

    @abstractmethod
    def loss(self, model: nn.Module, data: Any) -> Tensor:
        """The loss of loaded data in nats, summed over its targets; `model` is `module`, wrapped as training needs."""

    @abstractmethod
    def evaluate(self) -> Row:
        """What the log says of the model after an epoch, the criterion among it."""

    @abstractmethod
    def line(self, row: Row) -> str:
        """What the person watching reads of a row, between the training loss and the ETA."""

    @abstractmethod
    def save(self, path: Path, row: Row) -> None:
        """Writes the model file of the epoch that `row` tells of."""

    @abstractmethod
    def fingerprint(self) -> str:
        """What must be equal for a checkpoint to be this run's: settings, first weights, data."""

    @abstractmethod
    def leave_out(self, batch: Batch, path: Path) -> str:
        """Saves a batch without a finite loss for study at `path`, which has no suffix yet, and names it."""

    def split(self, batch: Batch, part: int, parts: int) -> Batch:
        """One of `parts` shares of a batch, for one of several processes, or where all of it does not fit in memory."""
        return batch[part::parts]  # type: ignore[return-value]

    def heaviest(self, batches: Sequence[Batch]) -> Batch:
        """The batch that needs most memory."""
        return max(batches, key=len)

    def check(self, log: Sequence[Row], step: int) -> None:
        """Raises TrainingError where the log shows that going on is of no use."""

    def draw(self, out: Path, log: Sequence[Row]) -> None:
        """Draws what there is to see of the run so far."""

    def state(self) -> dict[str, Any]:
        """What is carried from one batch to the next, for a checkpoint."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up what `state` gave."""
