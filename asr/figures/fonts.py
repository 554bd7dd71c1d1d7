"""Texts of any script in pictures: the installed fonts that can draw them, and code points where none can."""

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from matplotlib.font_manager import FontEntry, findfont, fontManager, get_font

_DEFAULT = "DejaVu Sans"  # matplotlib brings this font
_BOXES = ("Last Resort", "Last Resort High-Efficiency")  # fonts that draw a box for each character


def drawable(texts: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return texts that matplotlib can draw, and the arguments that each matplotlib call needs to draw them.

    The arguments name the installed fonts that hold the characters. A character that no installed font holds is
    replaced by its code point, such as U+13A0. Dollar signs are drawn as they are: they do not begin a formula.
    """
    families = [_DEFAULT]
    missing = _missing(_default_font(), set().union(*texts) - {"\n"})
    for entry in _likely(missing):
        if not missing:
            break
        left = _missing(entry.fname, missing)
        if left < missing:
            families.append(entry.name)
            missing = left
    table = {ord(character): f"U+{ord(character):04X} " for character in missing}
    return [text.translate(table).rstrip(" ") if table else text for text in texts], {
        "fontfamily": families,
        "parse_math": False,
    }


def wrapped(text: str, width: int, lines: int = 1) -> str:
    """Break a text into at most `lines` lines of `width` characters; an ellipsis stands for the rest."""
    broken = textwrap.wrap(text, width)
    if len(broken) > lines:
        broken[lines - 1] = broken[lines - 1][: width - 1] + "…"
    return "\n".join(broken[:lines])


@cache
def _default_font() -> str:
    return findfont(_DEFAULT)


def _missing(path: str, characters: Iterable[str]) -> set[str]:
    """Return the characters for which the font file `path` has no glyph."""
    font = get_font(path)
    return {character for character in characters if not font.get_char_index(ord(character))}


def _likely(characters: set[str]) -> list[FontEntry]:
    """Return one upright font of each family; families named after a script of `characters` come first."""
    upright = {
        entry.name: entry
        for entry in fontManager.ttflist
        if entry.style == "normal" and str(entry.weight) in ("400", "normal", "regular") and entry.name not in _BOXES
    }
    scripts = {unicodedata.name(character, "?").split()[0].lower() for character in characters}
    return sorted(
        upright.values(),
        key=lambda entry: (
            not any(script in entry.name.lower() for script in scripts),
            "sans" not in entry.name.lower(),
            entry.name,
        ),
    )
