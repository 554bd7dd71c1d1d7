"""Dropout and augmentation, chosen by the epochs of a run and by the features."""

from typing import Any

_OFTEN = 15  # epochs from which a model learns its training utterances by heart, unless they change
_CHANGE = 0.1  # largest relative change of frequencies and of tempo
_BANDS = 8  # a frequency mask is at most one part in so many of all bins wide


def regularization(*, epochs: int, bins: int, cepstra: bool) -> dict[str, dict[str, Any]]:
    """Return settings of the sections `model` and `augment` for a recogniser that trains for `epochs` epochs.

    Warped frequencies and tempo help in every run. Masks and more dropout slow learning down, and pay only in a run
    that shows each utterance often. Features with `bins` bands get masks in proportion; `cepstra` have no bands to warp
    or to mask.
    """
    often = epochs >= _OFTEN
    return {
        "model": {"dropout": 0.3 if often else 0.2},
        "augment": {
            "frequency_warp": 0.0 if cepstra else _CHANGE,
            "tempo": _CHANGE,
            "frequency_masks": 2 if often and not cepstra else 0,
            "frequency_mask_bins": max(1, bins // _BANDS),
            "time_masks_per_second": 0.5 if often else 0.0,
        },
    }
