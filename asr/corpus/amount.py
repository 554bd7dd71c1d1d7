"""The amount of speech in a corpus, and its sample rates, by the headers of its recordings."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.readers.times import length
from asr.utterance import Utterance

_OPENED = 300  # recordings whose headers are read; the others are taken to be as long on average


@dataclass(frozen=True, slots=True)
class Amount:
    """The hours of speech (None if no header tells), the sample rates in Hz with their seconds, and speakers."""

    hours: float | None
    rates: Counter[int]
    speakers: int

    def __str__(self) -> str:
        """Return the amount for people."""
        seconds = 3600 * (self.hours or 0.0)
        limits = ((60, 1, "seconds"), (3600, 60, "minutes"), (math.inf, 3600, "hours"))
        speech = next(f"{seconds / unit:.1f} {name}" for limit, unit, name in limits if seconds < limit)
        by = f" by {self.speakers} speaker{'s' * (self.speakers > 1)}" if self.speakers else ""
        return f"{speech} of speech{by}"


def measure(utterances: Sequence[Utterance]) -> Amount:
    """Measure the speech of utterances. Only some recordings of a large corpus are opened."""
    recordings = list(dict.fromkeys(utterance.audio for utterance in utterances))
    opened = recordings[:: max(1, len(recordings) // _OPENED)]
    headers = {path: header for path in opened if (header := length(path))}
    durations = [_duration(utterance, headers) for utterance in utterances]
    known = [seconds for seconds in durations if seconds is not None]
    rates: Counter[int] = Counter()
    for utterance, seconds in zip(utterances, durations, strict=True):
        if utterance.audio in headers and seconds is not None:
            rates[headers[utterance.audio][1]] += round(1000 * seconds)
    return Amount(
        hours=sum(known) / len(known) * len(utterances) / 3600 if known else None,
        rates=rates,
        speakers=len({utterance.speaker for utterance in utterances} - {None}),
    )


def _duration(utterance: Utterance, headers: dict[Path, tuple[float, int]]) -> float | None:
    if utterance.duration is not None:
        return utterance.duration
    header = headers.get(utterance.audio)
    return None if header is None else max(0.0, header[0] - utterance.offset)
