"""Epochs that are planned when they begin, in place of lists of all batches of a run."""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar, overload

Batch = TypeVar("Batch")


class Planner(Generic[Batch]):
    """Plans the batches of any epoch, counted from 0; the plan of the last epoch asked for is kept."""

    def __init__(self, plan: Callable[[int], list[Batch]]) -> None:
        self.plan = lru_cache(1)(plan)

    @cached_property
    def steps(self) -> int:
        """Batches of the first epoch. Other epochs have about as many."""
        return len(self.plan(0))


class Epochs(Sequence[list[Batch]]):
    """The batches of each of some epochs, which `planner` plans when they are asked for."""

    def __init__(self, planner: Planner[Batch], numbers: range) -> None:
        self.planner = planner
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, count: int) -> "Epochs[Batch]":
        """Return the first `count` epochs, by the same planner."""
        return Epochs(self.planner, range(count))

    @overload
    def __getitem__(self, index: int) -> list[Batch]: ...

    @overload
    def __getitem__(self, index: slice) -> "Epochs[Batch]": ...

    def __getitem__(self, index: int | slice) -> "list[Batch] | Epochs[Batch]":
        if isinstance(index, slice):
            return Epochs(self.planner, self._numbers[index])
        return self.planner.plan(self._numbers[index])


def count_steps(plans: Sequence[Sequence[Any]]) -> int:
    """Return the steps of epochs. Epochs that are planned later count as many as the first epoch of the run has."""
    return len(plans) * plans.planner.steps if isinstance(plans, Epochs) else sum(map(len, plans))


def planned_batches(plans: Sequence[Sequence[Batch]]) -> list[Batch]:
    """Return the batches of all epochs; of epochs that are planned later, those of the first one."""
    return list(plans[0]) if isinstance(plans, Epochs) else [batch for plan in plans for batch in plan]
