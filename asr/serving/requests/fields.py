"""The fields of a form -> the options of a transcription."""

import json
import re
from typing import Literal

from asr.errors import AsrError
from asr.serving.engine.messages import Channels, Options
from asr.serving.errors import ServiceError
from asr.serving.requests.uploads import Form
from asr.writers import FORMATS, parse_formats

_MOST_NBEST = 100
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")
_GLOSSARY = 50, 3  # terms, and words of a term, of a prompt that is a list and no sentence


def options_of(form: Form) -> Options:
    """Read the fields nbest, hotwords, phrases, channels and salvage. Raises ServiceError that names a wrong one."""
    return Options(
        number(form, "nbest", _MOST_NBEST),
        lines(form, "hotwords"),
        lines(form, "phrases"),
        _channels(form),
        flag(form, "salvage"),
    )


def flag(form: Form, name: str) -> bool:
    """Read a field that is true or false (default: false)."""
    value = (form.text(name) or "").strip().lower()
    if value not in _YES + _NO:
        raise _wrong(name, f"{value[:40]!r} is neither true nor false")
    return value in _YES


def number(form: Form, name: str, most: int) -> int:
    """Read a field that is a whole number from 0 to `most` (default: 0)."""
    value = (form.text(name) or "0").strip()
    if not (value.isascii() and value.isdecimal() and len(value) < 10 and int(value) <= most):
        raise _wrong(name, f"{value[:40]!r} is no whole number from 0 to {most}")
    return int(value)


def choice(form: Form, name: str, choices: tuple[str, ...]) -> str:
    """Read a field that has one of some values (default: the first)."""
    return one_of(name, form.text(name) or choices[0], choices)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return the choice that `value` of the field `name` is, in any case."""
    known = {one.lower(): one for one in choices}
    if (wanted := value.strip().lower()) not in known:
        raise _wrong(name, f"{value[:40]!r} is not known; there are {', '.join(choices)}")
    return known[wanted]


def lines(form: Form, name: str) -> tuple[str, ...]:
    """Read a field of lines, which may come several times; lines without anything are left out."""
    values = [*form.fields.get(name, []), *form.fields.get(f"{name}[]", [])]
    return tuple(line for value in values for line in re.split(r"[\r\n]+", value) if line.strip())


def keywords(form: Form) -> tuple[str, ...]:
    """Read the field `keywords`: repeated, a JSON list, or terms that lines or commas divide."""
    found: list[str] = []
    for value in lines(form, "keywords"):
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError):
            listed = None
        found += [str(one) for one in listed] if isinstance(listed, list) else value.split(",")
    return tuple(term.strip() for term in found if term.strip())


def glossary(prompt: str) -> tuple[str, ...]:
    """Return the terms of a prompt that is a list of them, which commas or lines divide; nothing for a sentence.

    A prompt is context for models that continue texts. A model of this program has no such context. A list of names is
    what most prompts are for, and a sentence would favour words that are usual anyway.
    """
    terms = [term.strip(" \t.;") for term in re.split(r"[,\r\n]+", prompt)]
    terms = [term for term in terms if term]
    most_terms, most_words = _GLOSSARY
    if not 2 <= len(terms) <= most_terms or any(len(term.split()) > most_words for term in terms):
        return ()
    return tuple(terms)


def format_of(form: Form) -> str:
    """Read the field `format`, a name of an output format (default: json)."""
    value = form.text("format") or "json"
    try:
        (name,) = parse_formats(value)
    except (AsrError, ValueError):
        raise _wrong("format", f"{value[:40]!r} is no output format; there are {', '.join(FORMATS)}") from None
    return name


def _channels(form: Form) -> Channels:
    value = (form.text("channels") or "mix").strip()
    known: dict[str, Literal["mix", "split"]] = {"mix": "mix", "split": "split"}
    if value in known:
        return known[value]
    if not (value.isascii() and value.isdecimal() and 0 < int(value[:5]) <= 64):
        raise _wrong("channels", f"{value[:40]!r} must be mix, split, or the number of a channel, from 1")
    return int(value)


def _wrong(name: str, what: str) -> ServiceError:
    return ServiceError(f"{name}: {what}", param=name, code="invalid_value")
