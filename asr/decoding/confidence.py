"""Calibration: from the raw confidence of a word to the share of right words at this confidence."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from asr.errors import TextError

BINS = 10
_FOLDS = 5
_PRIOR = 0.5  # weight of the prior that raw confidences are right


class Calibration(BaseModel):
    """A logistic map of raw confidences (Platt 1999), stored in the model file with the counts of its words.

    Both expected calibration errors are measured on words that the map was not fitted to.
    """

    model_config = ConfigDict(frozen=True)

    slope: float = Field(
        ge=0, allow_inf_nan=False
    )  # factor of the logit; never negative, so the order of confidences stays
    intercept: float = Field(allow_inf_nan=False)
    words: int
    right: int
    error: float  # expected calibration error after calibration, 0..1
    error_before: float  # expected calibration error of raw confidences

    def __call__(self, confidence: float) -> float:
        return float(calibrated(np.array(confidence), self.slope, self.intercept))

    def __str__(self) -> str:
        return (
            f"confidence: {self.right} of {self.words} words right; expected calibration error "
            f"{self.error_before:.3f} -> {self.error:.3f}"
        )


def calibrate(raw: np.ndarray, right: np.ndarray) -> tuple[Calibration, np.ndarray]:
    """Fit a calibration to raw confidences `(words,)` and to which words are right `(words,)`.

    Also returns the calibrated confidence of each word `(words,)`, cross-validated: by a map fitted to other words.
    Raises TextError if there are no words.
    """
    if not len(raw):
        raise TextError(
            "no word is recognised on the validation data, so there is no confidence to calibrate; train longer"
        )
    unseen = raw.copy()
    if len(raw) >= 2 * _FOLDS:
        folds = np.arange(len(raw)) * _FOLDS // len(raw)  # neighbours stay in one fold: they often share a speaker
        for fold in range(_FOLDS):
            inside = folds == fold
            unseen[inside] = calibrated(raw[inside], *fit(raw[~inside], right[~inside]))
    slope, intercept = fit(raw, right)
    calibration = Calibration(
        slope=slope,
        intercept=intercept,
        words=len(raw),
        right=int(right.sum()),
        error=expected_error(unseen, right),
        error_before=expected_error(raw, right),
    )
    return calibration, unseen


def calibrated(raw: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Map raw confidences by `slope` and `intercept`."""
    return 1 / (1 + np.exp(-(slope * _logit(raw) + intercept)))


def fit(raw: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Fit the slope (0 or more) and the intercept by likelihood, with a weak prior at 1 and 0."""
    from scipy.optimize import minimize  # slow to import, and only `asr tune` needs it

    signs = np.where(right, 1.0, -1.0)

    def loss(found: np.ndarray) -> float:
        surprise = np.logaddexp(0.0, -signs * (found[0] * _logit(raw) + found[1])).sum()
        return float(surprise + _PRIOR * np.square(found - [1.0, 0.0]).sum())

    slope, intercept = minimize(loss, [1.0, 0.0], bounds=[(0.0, None), (None, None)]).x
    return float(slope), float(intercept)


def reliability(confidence: np.ndarray, right: np.ndarray) -> list[tuple[int, float, float]]:
    """Return the number of words, their mean confidence and share right, for each tenth of the scale that has words."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    inside = [bins == number for number in range(BINS)]
    return [(int(one.sum()), float(confidence[one].mean()), float(right[one].mean())) for one in inside if one.any()]


def expected_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Compute the expected calibration error: the mean over words of |confidence - share right| in each tenth."""
    return sum(count * abs(mean - share) for count, mean, share in reliability(confidence, right)) / len(confidence)


def _logit(confidence: np.ndarray) -> np.ndarray:
    inside = np.clip(confidence, 1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))
