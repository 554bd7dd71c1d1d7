"""The curves of a corpus in words, as a table, a picture and a page: what more data would bring."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from asr.figures.amounts import SIZE, Drawn, draw_amounts
from asr.figures.page import write_page
from asr.figures.style import diagram, drawing
from asr.learning.curve import Measured, Point
from asr.learning.power_law import MOST, Curve
from asr.scoring.tables import Table

PICTURE_FILE, PAGE_FILE = "curve.png", "curve.html"
_FLAT = 0.05  # share of errors that twice the data saves at most, if the curve is called flat
_SURE = 0.01  # share of errors that twice the data saves at least, if more data surely helps
_DRAWN = 40  # points of a drawn law


class Outlook:
    """Forecasts by the curves of `Measured` for `more` hours of data, each in addition to all data at hand."""

    def __init__(self, measured: Measured, more: Sequence[float] = ()) -> None:
        """Forecast. Without `more`, as much again and four times as much, and an hour if it is among these.

        Raises AsrError for more than four times the data at hand.
        """
        self.measured, self.hours = measured, float(measured.cer.amounts[-1])
        self.unit, self.scale = ("hours", 1) if self.hours >= 1 else ("minutes", 60)
        is_law = not any(is_sure for one in (measured.cer, measured.wer) for _, is_sure in one.rises())
        self.forecasts = [self._forecast(hours) for hours in more or self._usual()] if is_law else []

    def _usual(self) -> list[float]:
        """Return the hours that are asked for if nobody says: as much again, three times as much, and an hour."""
        usual = {self.hours, (MOST - 1) * self.hours}
        return sorted(usual | {1.0} if 0.1 * self.hours < 1 < (MOST - 1) * self.hours else usual)

    def _forecast(self, more: float) -> str:
        of_each = (self.measured.cer, self.measured.wer)
        changes = (f"{one.name} {one.rates[-1]:.1f} -> {one.forecast(self.hours + more)}" for one in of_each)
        return f"{_amount(more)} more: {', '.join(changes)}"

    def table(self) -> Table:
        """Return a row for each training: measured and fitted rates."""
        rows = [self._row(point) for point in self.measured.points]
        columns = (self.unit, "utterances", "seed", "epoch kept", "%CER", "fitted", "%WER", "fitted")
        return Table("Parts of the training data", columns, rows)

    def _row(self, point: Point) -> tuple[str | int | float, ...]:
        cer, wer = self.measured.cer, self.measured.wer
        return (
            *(self.scale * point.hours, point.utterances, point.seed, point.epoch),
            *(point.cer, cer.fitted(point.hours), point.wer, wer.fitted(point.hours)),
        )

    def remarks(self) -> list[str]:
        """Say what the forecasts are worth: a flat or uncertain curve, errors that rise, the check from less data."""
        cer = self.measured.cer
        lines = [_verdict(cer) if self.forecasts else "errors rise with more data, so there is no forecast"]
        lines += [self._rise(one, *rise) for one in (cer, self.measured.wer) for rise in one.rises()]
        half = cer.from_smaller()
        if half is not None and self.forecasts:
            expected, found = half.forecast(self.hours), float(cer.rates[-1])
            inside = expected.low <= found <= expected.high
            lines.append(
                f"check: from the smaller parts, all {self._at(self.hours)} were expected to give a CER of {expected}; "
                f"they give {found:.1f}"
                + ("" if inside else ", so do not trust the forecasts above: the curve has a bend")
            )
        return lines

    def _rise(self, curve: Curve, index: int, is_sure: bool) -> str:
        before, after = (
            f"{curve.rates[number]:.2f} with {self._at(curve.amounts[number])}" for number in (index - 1, index)
        )
        if is_sure:
            why = "this is no chance: too few epochs (training.epochs), or faults in the data (asr check, asr suspects)"
        else:
            why = "this may be chance; more trainings tell (--seeds 3)"
        return f"warning: the {curve.name} is {before}, and higher, {after}: {why}"

    def _at(self, hours: float) -> str:
        return f"{self.scale * hours:.1f} {self.unit}"

    def notes(self) -> list[str]:
        """Return the fitted laws, and what the intervals are over."""
        return [
            self.measured.cer.formula,
            self.measured.wer.formula,
            f"intervals: 95 %, over resamples of {self.measured.validation} of validation and over trainings; more "
            "data of the same kind: the same speakers, places and microphones",
        ]

    def write(self, out: Path, title: str) -> None:
        """Write the picture and the page."""
        curves = [_drawn(one, self.measured.points, self.scale) for one in (self.measured.cer, self.measured.wer)]

        def draw(figure: Figure) -> str:
            return draw_amounts(figure.subplots(), curves, self.unit)

        with drawing(out / PICTURE_FILE, SIZE) as figure:
            draw(figure)
        write_page(
            out / PAGE_FILE,
            "curve.html",
            title=title,
            forecasts=self.forecasts,
            remarks=self.remarks(),
            picture=diagram(SIZE, draw),
            table=self.table(),
            notes=self.notes(),
        )


def _verdict(cer: Curve) -> str:
    """Say whether more data of this kind helps: twice as much, compared with all data at hand."""
    low, high = cer.gain(2 * float(cer.amounts[-1]))
    saved = f"as much data again saves {max(low, 0):.0%} to {high:.0%} of the errors"
    if high < _FLAT:
        return f"the curve is flat: {saved}; look for another cause, with asr report and docs/accuracy.md"
    if low < _SURE:
        return f"this cannot tell whether more data helps: {saved}; more validation data or --seeds 3 would tell more"
    return f"more data helps: {saved}"


def _drawn(curve: Curve, points: Sequence[Point], scale: float) -> Drawn:
    smallest, largest = float(curve.amounts[0]), MOST * float(curve.amounts[-1])
    hours = np.geomspace(smallest, largest, _DRAWN)
    forecasts = [curve.forecast(amount) for amount in hours]
    return Drawn(
        name=curve.name,
        amounts=scale * np.array([point.hours for point in points]),
        rates=np.array([point.cer if curve.name == "CER" else point.wer for point in points]),
        law_amounts=scale * hours,
        law=np.array([one.rate for one in forecasts]),
        low=np.array([one.low for one in forecasts]),
        high=np.array([one.high for one in forecasts]),
    )


def _amount(hours: float) -> str:
    """Return an amount for people: `an hour`, `25 minutes`, `3.3 hours`."""
    if hours == 1:
        return "an hour"
    return f"{60 * hours:.0f} minutes" if hours < 1.5 else f"{hours:.3g} hours"
