"""The kind of a text, by its content: subtitles, labels, tables and markup are no plain transcripts."""

import itertools
import re
from collections.abc import Callable

from asr.corpus.manifest import parse_json
from asr.files import lines_of

_CLOCK = r"\d{1,3}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?"  # 1:02, 0:01:02.5
_EXACT_CLOCK = r"\d{1,3}:\d{2}:\d{2}[.,:]\d{1,3}|\d{1,3}:\d{2}[.,]\d{1,3}|\d{2}:\d{2}:\d{2}"
_NUMBER = r"-?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?"
_LABEL = re.compile(rf"\s*({_NUMBER})\s+({_NUMBER})(?:\s+(.*))?")
_DOCUMENTS = (".doc", ".docx", ".odt", ".pdf", ".rtf", ".pages")
_SHEETS = (".xls", ".xlsx", ".ods", ".numbers")
_KEYS = "text|transcript|transcription|sentence"  # names of fields that hold the text
_FIELD_NAMES = f"{_KEYS}|speaker|start|end|duration|audio|file|id|language|lang|segments"
_LONGEST = 200_000  # characters that are looked at


def kind_of(text: str) -> str | None:
    """Return what a text is, for a message, or None for a plain text."""
    text = text[:_LONGEST].lstrip("\ufeff").strip()
    lines = [line for line in lines_of(text) if line.strip()]
    return next((kind for kind, holds in _KINDS.items() if lines and holds(text, lines)), None)


def document_of(suffix: str) -> str | None:
    """Return what a file with this suffix is, and what to do, if it can hold a text but no reader opens it."""
    if suffix.lower() in _SHEETS:
        return "is a spreadsheet; save it as CSV"
    if suffix.lower() in _DOCUMENTS:
        return "is a document; save its text as plain text, or as a table"
    return None


def _is_xml(text: str, lines: list[str]) -> bool:
    if re.match(r"<\?xml|<!DOCTYPE|<html", text, re.IGNORECASE):
        return True
    # A transcript may begin with a mark such as <noise>, which nothing closes at the end.
    first = re.match(r"<([A-Za-z_][\w:.-]*)(\s[^<>]*)?>", text)
    return first is not None and text.endswith((f"</{first[1]}>", "/>"))


def _is_json(text: str, lines: list[str]) -> bool:
    if not re.match(r'\{\s*["}]|\[\s*["{\[\]\d-]', text):
        return False
    if re.match(r'\{\s*"[^"]*"\s*:|\[\s*\{\s*"', text):
        return True  # also if it is damaged
    try:
        return isinstance(parse_json(text), dict | list)
    except ValueError:
        return False


def _has_labels(text: str, lines: list[str]) -> bool:
    """Return True if each line begins with a start and an end, in any unit; a row of spoken digits does not count."""
    found = [match for line in lines if (match := _LABEL.fullmatch(line))]
    if len(found) < len(lines) or not any(match[3] for match in found):
        return False
    times = [(_value(match[1]), _value(match[2])) for match in found]
    ordered = all(start <= end for start, end in times) and all(a <= b for (a, _), (b, _) in itertools.pairwise(times))
    joined = all(before[1] == after[0] for before, after in itertools.pairwise(times))
    exact = any(re.search(r"[.,]\d{3}", match[1] + match[2]) or len(match[2]) > 3 for match in found)
    certain = len(found) > 1 or "\t" in lines[0] or times[0][0] == 0.0
    return ordered and certain and (exact or (len(found) > 2 and joined) or any("\t" in line for line in lines))


def _value(number: str) -> float:
    return float(number.replace(",", "."))


def _has_points(text: str, lines: list[str]) -> bool:
    """Return True for labels of ESPS, after a line `#`: an end, a colour and a label."""
    if "#" not in (line.strip() for line in lines):
        return False
    labels = lines[[line.strip() for line in lines].index("#") + 1 :]
    return bool(labels) and all(re.match(rf"\s*{_NUMBER}\s+-?\d+(\s|$)", line) for line in labels)


def _has_times_in_lines(text: str, lines: list[str]) -> bool:
    """Return True for CTM, STM and RTTM: names, then two numbers with decimals in each line."""
    pattern = re.compile(r"(?:[^\s]+\s+){2,4}\d+\.\d+\s+\d+\.\d+(?:\s|$)|(?:;;|SPEAKER\s)")
    return all(pattern.match(line) for line in lines)


def _is_table(text: str, lines: list[str]) -> bool:
    """Return True if tabs divide all lines into equally many cells, several of them, or some cells are times."""
    tabs = {line.count("\t") for line in lines}
    cells = [cell.strip() for line in lines for cell in line.split("\t")]
    times = sum(bool(re.fullmatch(rf"{_EXACT_CLOCK}|\d+\.\d+", cell)) for cell in cells)
    return (len(lines) > 1 and len(tabs) == 1 and min(tabs) > 1) or (min(tabs) > 0 and times >= 2 * len(lines))


def _has_fields(text: str, lines: list[str]) -> bool:
    """Return True for YAML and for `name=value`, if a usual name is there; a dialogue has names of speakers."""
    if not all(re.match(r"---|#|;|\[\w+\]$|\s+|-\s|[\w.-]+\s*[:=](\s|$|\S)", line) for line in lines):
        return False
    wanted = _FIELD_NAMES if len(lines) > 1 else _KEYS
    return any(re.match(rf"\s*(-\s+)?({wanted})\s*[:=]", line) for line in lines)


def _matches(pattern: str, share: float = 0.0) -> Callable[[str, list[str]], bool]:
    """Return a test whether more than this share of the lines match a pattern at their start."""
    compiled = re.compile(pattern)
    return lambda text, lines: sum(bool(compiled.match(line)) for line in lines) > share * len(lines)


def _begins(pattern: str) -> Callable[[str, list[str]], bool]:
    compiled = re.compile(pattern)
    return lambda text, lines: bool(compiled.match(text))


# The first kind that holds is the kind of a text.
_KINDS: dict[str, Callable[[str, list[str]], bool]] = {
    "a Praat file": _begins(r'File type = "oo|"?ooTextFile|ooBinaryFile|"Praat '),
    "XML": _is_xml,
    "JSON": _is_json,
    "rich text (RTF)": _begins(r"\{\\rtf"),
    "a CHAT transcript": _begins(r"@(UTF8|Begin|Font|Window)\b"),
    "subtitles": _matches(rf"(?:.*\s)?{_CLOCK}\s*-->\s*{_CLOCK}|WEBVTT|\[Script Info\]|Dialogue:\s*\d"),
    "subtitles (SBV)": _matches(rf"\s*{_CLOCK}\s*,\s*{_CLOCK}\s*$"),
    "subtitles (MicroDVD)": _matches(r"\s*\{\d+\}\{\d*\}", 0.5),
    "lyrics with times": _matches(rf"\s*\[{_CLOCK}\]", 0.3),
    "labels with times": _has_labels,
    "labels with times (ESPS)": _has_points,
    "a list with times": _has_times_in_lines,
    "a table": _is_table,
    "fields with names (YAML)": _has_fields,
    "a Toolbox file": lambda text, lines: len(lines) > 1 and _matches(r"\\[A-Za-z_]\w*(\s|$)", 0.5)(text, lines),
    "a text with times": lambda text, lines: (
        _matches(rf"\W{{0,3}}(?:{_EXACT_CLOCK})\b|.{{0,60}}?\s\W?(?:{_EXACT_CLOCK})\W*$", 0.2)(text, lines)
        or (len(lines) > 1 and _matches(rf"\W{{0,3}}{_CLOCK}\b|.{{0,60}}?\s\W?{_CLOCK}\W*$", 0.3)(text, lines))
    ),
}
