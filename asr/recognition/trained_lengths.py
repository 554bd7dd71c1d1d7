"""The lengths of speech that a recogniser was trained on, which decide how long recordings are cut."""

from pydantic import BaseModel, ConfigDict, Field


class TrainedLengths(BaseModel):
    """What training saw, in seconds, stored in the model file. A recording that is much longer is cut."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    longest: float = Field(gt=0, le=36_000)  # training recording, with joined utterances and their pauses
    pause: float = Field(gt=0, le=60)  # shortest pause between two utterances: it ends a segment
