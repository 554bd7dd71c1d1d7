"""Tests what pictures share: fonts for any script, numbers, frequency ticks, the curves of a run, and no warnings."""

import base64
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from asr.features import MFCC, LogMel, Spectrogram
from asr.figures import fonts
from asr.figures.confusions import confusion_picture
from asr.figures.curves import gradient_curves, learning_curves, part_name
from asr.figures.fonts import drawable, wrapped
from asr.figures.numbers import significant
from asr.figures.reliability import reliability_picture
from asr.figures.utterance import frequency_ticks

SCRIPTS = {
    "Greek": "δύο", "Cherokee": "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "Devanagari": "तीन लड़कियाँ", "Arabic": "اَلْعَرَبِيَّةُ",
    "Chinese": "普通話", "formula": "$5 and $x^", "control": "a\tb\u200d", "emoji": "😀", "mark": "a\u1dc4",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def only_default_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed fonts are those that matplotlib brings."""
    installed = [entry for entry in fontManager.ttflist if "matplotlib" in entry.fname]
    monkeypatch.setattr(fontManager, "ttflist", installed)


def square_font(path: Path, family: str, characters: str) -> None:
    """Install a font in which each of `characters` is a square."""
    names = [".notdef", *(f"u{ord(character):04X}" for character in characters)]
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(path)
    fontManager.addfont(path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_drawn_without_a_warning(script: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the fonts of this machine, whatever they are."""
    text = SCRIPTS[script]
    confusion_picture(tmp_path / "new" / "c.png", np.eye(2, dtype=np.int64), [text, "b"], "title")
    figure = Figure()
    (shown,), style = drawable([text])
    figure.suptitle(shown, **style)
    figure.savefig(tmp_path / "t.png")
    assert caplog.text == ""


def test_code_points_stand_for_characters_without_a_font(only_default_font: None) -> None:
    texts, style = drawable(["δύο ᏣᎳ", "五$", "plain"])
    assert texts == ["δύο U+13E3 U+13B3", "U+4E94 $", "plain"]
    assert style == {"fontfamily": ["DejaVu Sans"], "parse_math": False}


def test_an_installed_font_is_chosen_for_the_characters_it_holds(
    only_default_font: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    square_font(tmp_path / "a.ttf", "Test Sans Cherokee", "ᏣᎳ")
    square_font(tmp_path / "b.ttf", "Test Han", "五")
    texts, style = drawable(["ᏣᎳ", "五", "Ꭹ"])
    assert texts == ["ᏣᎳ", "五", "U+13A9"]
    assert style["fontfamily"] == ["DejaVu Sans", "Test Sans Cherokee", "Test Han"]
    figure = Figure()
    figure.suptitle(" ".join(texts), **style)
    figure.savefig(tmp_path / "t.png")
    assert caplog.text == ""


def test_fonts_are_not_opened_for_texts_that_the_default_font_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = fonts.get_font
    monkeypatch.setattr(fonts, "get_font", lambda path: opened.append(path) or real(path))
    drawable(["abc", "δύο"])
    assert len(opened) == 1


def test_long_texts_are_cut() -> None:
    assert wrapped("one two three four five", 10, 2) == "one two\nthree fou…"
    assert wrapped("語" * 30, 10, 2) == "語" * 10 + "\n" + "語" * 9 + "…"
    assert wrapped("short", 10) == "short" and wrapped("", 10) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.00823283, "0.00823"), (0.0000123, "1.23e-05"), (1.687, "1.69"), (0.1, "0.100"), (123.4, "123"),
        (12345.6, "12346"), (-0.5, "-0.500"), (0, "0"), (float("inf"), "inf"), (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, expected: str) -> None:
    assert significant(value) == expected


@pytest.mark.parametrize(
    "front_end", [LogMel(sample_rate=16000, bins=64), LogMel(sample_rate=8000, bins=20), Spectrogram(sample_rate=48000)]
)
def test_ticks_are_at_the_bins_of_their_frequencies(front_end: Spectrogram) -> None:
    assert front_end.bin_frequencies is not None
    centres = front_end.bin_frequencies.numpy()
    positions, labels = frequency_ticks(centres)
    assert len(labels) >= 4 and (np.diff(positions) >= 0.08 * len(centres)).all()
    for position, label in zip(positions, labels, strict=True):
        assert np.interp(position, np.arange(len(centres)) + 0.5, centres) == pytest.approx(int(label), rel=1e-5)
    assert MFCC(sample_rate=16000).bin_frequencies is None


def test_parts_have_names_that_readers_know() -> None:
    for part, cell, frontend, name in (
        ("subsampling", "lstm", "conv", "convolutions"),
        ("subsampling", "lstm", "stack", "projection"),
        ("layers.0", "lstm", "conv", "LSTM layer 1"),
        ("layers.11", "rnn_tanh", "conv", "RNN tanh layer 12"),
        ("norms.2", "gru", "conv", "layer norm 3"),
        ("output", "gru", "conv", "output layer"),
        ("decoder", "gru", "conv", "attention decoder"),
        ("new_part", "gru", "conv", "new_part"),
    ):
        assert part_name(part, cell=cell, frontend=frontend) == name


@pytest.mark.parametrize(
    "rows",
    [
        [{"train_loss": 3.0, "validation_loss": 4.0, "cer": 0.0, "wer": 0.0}],
        [{"train_loss": 0.0, "validation_loss": 0.0, "cer": 90.0, "wer": 130.0}],
        [{"train_loss": 2.0, "validation_loss": float("inf"), "cer": 100.0, "wer": 100.0}] * 3,
        [{"train_loss": 10.0**-n, "validation_loss": 3.0**-n, "cer": 10 / (n + 1), "wer": 1.0} for n in range(9)],
        [{"train_loss": 1.0, "validation_loss": 1.0, "error_rate": 5.0}] * 2,
    ],
    ids=["one epoch", "no loss", "infinite loss", "many decades", "classifier"],
)
def test_curves_of_any_run_are_drawn_without_a_warning(rows: list[dict[str, float]]) -> None:
    norms = {"gradient_norms": {"subsampling": 1.0, "output": 0.0}}
    log = [{"epoch": number, **row, **norms} for number, row in enumerate(rows, 1)]
    for picture in (*learning_curves(log), gradient_curves(log, cell="lstm", frontend="conv")):
        svg = base64.b64decode(picture.uri.removeprefix("data:image/svg+xml;base64,")).decode()
        assert svg.count("prefers-color-scheme:dark") == 1 and "currentColor" in svg
        assert picture.alt


def test_reliability_is_drawn(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    confidence = generator.random(50)
    reliability_picture(tmp_path / "r.png", {"raw": confidence, "calibrated": confidence**2}, confidence > 0.5)
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
