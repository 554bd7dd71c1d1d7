"""The weight of each transcript in the loss, from a field of the manifest: less for a transcript that is uncertain."""

from collections.abc import Callable, Sequence

from asr.errors import ManifestError
from asr.utterance import Utterance


class TextWeights:
    """The weights of the transcripts of training utterances, which the field `field` holds; 1 without a field."""

    def __init__(self, field: str | None, utterances: Sequence[Utterance]) -> None:
        self._field, self._utterances = field, utterances

    def of(self, parts: Sequence[int], size: Callable[[int], int]) -> float:
        """Return the weight of a recording of joined utterances: the mean over the units of their transcripts.

        `size` returns the number of units of an utterance; an empty transcript counts as one unit. Raises ManifestError
        for a weight that is no number from 0 to 1.
        """
        if self._field is None:
            return 1.0
        sizes = [max(1, size(index)) for index in parts]
        weighted = sum(self._weight(index, self._field) * count for index, count in zip(parts, sizes, strict=True))
        return weighted / sum(sizes)

    def _weight(self, index: int, field: str) -> float:
        utterance = self._utterances[index]
        value = utterance.extra.get(field)
        try:
            weight = 1.0 if value is None else float(value)
        except (TypeError, ValueError, OverflowError):
            weight = -1.0
        if not 0 <= weight <= 1:
            raise ManifestError(
                f"{utterance.audio}: {utterance.id}: {field} is {value!r:.100}, not a weight from 0 to 1; correct the "
                "manifest, or set data.weight_field to another field"
            )
        return weight
