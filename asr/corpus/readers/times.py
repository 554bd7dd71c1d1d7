"""Times in tables: seconds, milliseconds, samples or h:m:s, by the column's name, by the value, and by what fits."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from asr.corpus.readers.reading import note
from asr.decoders import open_recording
from asr.errors import AudioError

_UNITS = {
    "s": "s sec secs second seconds ss_msec",
    "ms": "ms msec msecs millis millisecond milliseconds",
    "samples": "sample samples",
    "": "hh_mm_ss_ms hh_mm_ss_msec hh_mm_ss",  # each value shows it
}
_UNIT_IN_NAME = {name: unit for unit, names in _UNITS.items() for name in names.split()}
_SUFFIX = re.compile(rf"(.+?)_({'|'.join(sorted(_UNIT_IN_NAME, key=len, reverse=True))})")
_TITLES = {"s": "seconds", "ms": "milliseconds", "samples": "samples"}
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
_QUANTITY = re.compile(r"([-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*(ms|msec|s|sec|seconds)")
_SAMPLE = 50  # recordings whose length is looked up
_SLACK = 0.5  # seconds that a segment may end after its recording
_LONGEST = 120.0  # seconds; longer segments, as whole numbers, are taken for milliseconds if these fit too


@dataclass(frozen=True, slots=True)
class Time:
    """A time or a length as a table states it; the unit is s, ms, samples, or "" if it is not known."""

    value: float
    unit: str

    def seconds(self, unit: str, audio: Path) -> float:
        """Return the time in seconds; `unit` holds for a time of unknown unit. Raises ValueError."""
        unit = self.unit or unit
        if unit != "samples":
            return self.value / 1000 if unit == "ms" else self.value
        known = length(audio)
        if known is None:
            raise ValueError(f"states samples, and the sample rate of {audio} cannot be read; state seconds")
        return self.value / known[1]


def split_unit(column: str) -> tuple[str, str | None]:
    """Return a column name without its unit, and the unit; None if the name states no unit: `start_ms` -> start, ms."""
    match = _SUFFIX.fullmatch(column)
    return (match[1], _UNIT_IN_NAME[match[2]]) if match else (column, None)


def parse_time(field: str, value: Any, unit: str | None) -> Time:
    """Return the time in a cell; `unit` is that of its column. Raises ValueError for anything else."""
    text = str(value).strip()
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in clock.groups())
        return Time(3600 * hours + 60 * minutes + seconds, "s")
    if quantity := _QUANTITY.fullmatch(text):
        text, unit = quantity[1], _UNIT_IN_NAME[quantity[2]]
    try:
        number = float(text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else text)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{field} is {text[:80]!r}, not a number of seconds; correct it")
    return Time(number, unit or "")


def common_unit(rows: Sequence[tuple[Path, Mapping[str, Time]]], columns: Sequence[str]) -> str:
    """Return the unit of all times of unknown unit: the first of seconds, milliseconds and samples that fits.

    A row is a recording, and its times by field: offset, end, duration. A unit fits if the segments end within their
    recordings. Another unit than seconds is noted. Raises ValueError that names `columns` if no unit fits.
    """
    unknown = [(audio, times) for audio, times in rows if any(not time.unit for time in times.values())]
    lengths = {audio: known for audio in list(dict.fromkeys(audio for audio, _ in unknown))[:_SAMPLE]
               if (known := length(audio))}  # fmt: skip
    segments = [(lengths[audio], _segment(times)) for audio, times in unknown if audio in lengths]
    if not segments:
        return "s"
    fitting = {}
    for unit in _TITLES:
        scaled = [(seconds, *_scaled(segment, unit, rate)) for (seconds, rate), segment in segments]
        inside = statistics.fmean(end <= seconds + _SLACK for seconds, _, end in scaled)
        usual = statistics.median(end - start for _, start, end in scaled)
        fitting[unit] = inside, usual
    whole = all(float(time.value).is_integer() for _, times in unknown for time in times.values())
    if fitting["s"][0] >= 0.5 and not (
        whole and fitting["s"][1] > _LONGEST and fitting["ms"][0] > 0.9 and fitting["ms"][1] < _LONGEST
    ):
        return "s"
    (seconds, _), (_, latest) = max(segments, key=lambda segment: segment[1][1])
    found = f"{' and '.join(columns)} reach {latest:g}, in a recording of {seconds:.1f} s"
    for unit in ("ms", "samples"):
        inside, usual = fitting[unit]
        if inside > 0.9 and usual > 0.02:
            note(f"the times are read as {_TITLES[unit]}", found)
            return unit
    raise ValueError(
        f"{found}: they fit as neither seconds, milliseconds nor samples; correct them, or state the unit in the name "
        "of the column: start_s, start_ms, start_samples"
    )


def _segment(times: Mapping[str, Time]) -> tuple[float, float]:
    start = times["offset"].value if "offset" in times else 0.0
    if "end" in times:
        return start, times["end"].value
    return start, start + (times["duration"].value if "duration" in times else 0.0)


def _scaled(segment: tuple[float, float], unit: str, rate: int) -> tuple[float, float]:
    factor = {"s": 1.0, "ms": 1000.0, "samples": float(rate)}[unit]
    return segment[0] / factor, segment[1] / factor


@lru_cache(maxsize=1024)
def length(audio: Path) -> tuple[float, int] | None:
    """Return the length in seconds and the sample rate in Hz of a recording; None if its header does not tell."""
    try:
        with open_recording(audio) as recording:
            return None if recording.seconds is None else (recording.seconds, recording.sample_rate)
    except AudioError:
        return None
