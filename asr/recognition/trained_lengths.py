"""The lengths of speech that a recogniser was trained on, which decide how recordings are cut."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class TrainedLengths(BaseModel):
    """Hold the lengths of training recordings, in seconds, for the model file; longer recordings are cut."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    longest: float = Field(ge=1, le=36_000)  # training recording, with joined utterances and their pauses
    pause: float = Field(ge=0.1, le=10)  # shortest pause between two utterances: it ends a segment


@dataclass(frozen=True, slots=True)
class PieceLengths:
    """How recordings are cut, in seconds.

    A recording of up to `whole` goes through the model in one piece. Of a longer one, a piece is the speech between two
    pauses of `pause` or more, and about `longest` at most.
    """

    whole: float
    longest: float
    pause: float


_BEFORE = PieceLengths(whole=40.0, longest=30.0, pause=0.5)  # for model files that do not state their lengths
_LONGEST = 40.0  # seconds; bounds memory


def piece_lengths(trained: TrainedLengths | None, *, utterance: bool) -> PieceLengths:
    """Return how recordings are cut for a model with the lengths `trained`.

    An `utterance`, whose bounds a person set, is one piece up to 40 s at least. So an utterance has the text that
    training's evaluation gives it.
    """
    if trained is None:
        return _BEFORE
    longest = min(trained.longest, _LONGEST)
    return PieceLengths(max(longest, _BEFORE.whole) if utterance else longest, longest, trained.pause)
