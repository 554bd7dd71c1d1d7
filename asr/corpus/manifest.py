"""Manifests: one utterance per line, as JSON Lines with NeMo's field names, or as CSV or TSV with these columns."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr.errors import ManifestError, raise_problems
from asr.files import read_text, to_json, whole_file
from asr.utterance import Utterance

SUFFIXES = (".jsonl", ".csv", ".tsv")
_FIELDS = ("id", "audio_filepath", "text", "offset", "duration", "speaker")  # all other fields are kept in `extra`


def read_manifest(
    path: str | Path, *, require_text: bool = False, text_field: str = "text", allow_empty: bool = False
) -> list[Utterance]:
    """Read a `.jsonl`, `.csv` or `.tsv` manifest; audio paths are relative to the folder of the manifest.

    With `require_text`, a line without text is faulty; with `allow_empty`, only a line without the field is faulty.
    `text_field` is the field that becomes the text of an utterance. Raises ManifestError that lists the first ten
    faulty lines and counts all further ones.
    """
    utterances, problems = scan_manifest(
        path, require_text=require_text, text_field=text_field, allow_empty=allow_empty
    )
    raise_problems([f"{path}:{line}: {fault}" for line, fault in problems], ManifestError)
    if not utterances:
        raise ManifestError(f"{path}: holds no utterances; prepare the corpus again")
    return [utterance for _, utterance in utterances]


def scan_manifest(
    path: str | Path, *, require_text: bool = False, text_field: str = "text", allow_empty: bool = False
) -> tuple[list[tuple[int, Utterance]], list[tuple[int, str]]]:
    """Read a manifest; return the utterances and the faults, each with its line number.

    The options are those of `read_manifest`. Raises ManifestError only if the file as a whole cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise ManifestError(f"{path}: is a folder, not a manifest; asr prepare writes manifests of a corpus")
    if not path.is_file():
        raise ManifestError(
            f"{path}: no such manifest; for a recipe, run `make` with its name, which prepares the data"
        )
    content = read_text(path, ManifestError)
    rows = _csv_rows(path, content) if path.suffix.lower() in (".csv", ".tsv") else json_rows(content)
    return from_rows(rows, path.parent, require_text=require_text, text_field=text_field, allow_empty=allow_empty)


def from_rows(
    rows: Iterable[tuple[int, Any]],
    folder: Path,
    *,
    require_text: bool = False,
    text_field: str = "text",
    allow_empty: bool = False,
) -> tuple[list[tuple[int, Utterance]], list[tuple[int, str]]]:
    """Return the utterances of numbered manifest rows, and the faults, each with its number.

    Audio paths are relative to `folder`. The options are those of `read_manifest`.
    """
    utterances: list[tuple[int, Utterance]] = []
    problems: list[tuple[int, str]] = []
    lines_of_ids: dict[str, int] = {}
    for line, row in rows:
        try:
            utterance = from_row(row, folder, require_text, text_field, allow_empty)
            if utterance.id in lines_of_ids:
                raise ValueError(f"id {utterance.id!r} repeats line {lines_of_ids[utterance.id]}; ids must differ")
            lines_of_ids[utterance.id] = line
            utterances.append((line, utterance))
        except ValueError as error:
            problems.append((line, str(error)))
    return utterances, problems


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest as JSON Lines, whole or not at all; audio paths are relative to the folder of the manifest.

    Raises OutputError if the file cannot be written, ManifestError for a name that UTF-8 cannot hold.
    """
    path = Path(path)
    with whole_file(path) as file:
        file.writelines(_line(utterance, path.parent) for utterance in utterances)


@contextmanager
def manifest_in_parts(path: Path) -> Iterator[Callable[[Utterance], None]]:
    """Open a manifest that gets its utterances one by one: `with manifest_in_parts(path) as add: add(utterance)`.

    The manifest has its name when the block ends. If the block fails, the lines so far stay in a draft that the log
    names. Raises OutputError if the file cannot be written, ManifestError for a name that UTF-8 cannot hold.
    """
    with whole_file(path, keep=True) as file:

        def add(utterance: Utterance) -> None:
            file.write(_line(utterance, path.parent))
            file.flush()

        yield add


def _line(utterance: Utterance, folder: Path) -> bytes:
    try:
        return f"{to_json(to_row(utterance, folder))}\n".encode()
    except UnicodeEncodeError:
        raise ManifestError(
            f"{utterance.audio}: {utterance.id} has a name or a field that is not UTF-8, which a manifest cannot hold; "
            "rename the file, for example with convmv"
        ) from None


def relative_path(path: Path, folder: Path) -> str:
    """Return `path` as seen from `folder`, with `/` on every system; the absolute path if it is on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on Windows, no relative path leads to another drive
        return path.absolute().as_posix()


def to_row(utterance: Utterance, folder: Path) -> dict[str, Any]:
    """Return the manifest row of an utterance, with its audio path relative to `folder`."""
    row: dict[str, Any] = {
        "id": utterance.id,
        "audio_filepath": relative_path(utterance.audio, folder),
        "text": utterance.text,
        "offset": utterance.offset or None,
        "duration": utterance.duration,
        "speaker": utterance.speaker,
        **utterance.extra,
    }
    return {key: value for key, value in row.items() if value is not None}


def with_hypothesis(utterance: Utterance, hypothesis: str) -> Utterance:
    """Return a copy of an utterance with the hypothesis as an extra field, and a name that a manifest can hold."""
    audio = Path(utf8_name(utterance.audio))
    return replace(utterance, audio=audio, extra={**utterance.extra, "hypothesis": hypothesis})


def utf8_name(path: Path) -> str:
    """Return a path for a manifest: an escape such as `\\xff` stands for a byte that is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def json_rows(content: str) -> Iterable[tuple[int, Any]]:
    """Yield the rows of JSON Lines with their line numbers; a line that is not JSON becomes a ValueError."""
    # str.splitlines would also split at U+2028, which a JSON string may hold.
    for line, text in enumerate(content.split("\n"), start=1):
        if text.strip():
            try:
                yield line, parse_json(text)
            except ValueError as error:
                yield line, ValueError(f"is not JSON ({error}); each line must be one JSON object")


def parse_json(text: str) -> Any:
    """Parse a JSON text. Raises ValueError also for a lone surrogate, which UTF-8 cannot hold."""
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():  # a surrogate can only come from an escape
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error).partition(": line ")[0]) from None
    return value


def _csv_rows(path: Path, content: str) -> Iterable[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        header = list(reader.fieldnames or ())
    except csv.Error as error:
        raise ManifestError(f"{path}:1: is not CSV ({error}); export the table again") from None
    if "audio_filepath" not in header:
        raise ManifestError(
            f"{path}: the first line must name the columns audio_filepath and text, but it has: "
            + (", ".join(header)[:300] or "nothing")
        )
    try:
        for row in reader:
            yield reader.line_num, {key: value for key, value in row.items() if key and value}
    except csv.Error as error:
        raise ManifestError(f"{path}:{reader.line_num}: is not CSV ({error}); export the table again") from None


def from_row(
    row: Any, folder: Path, require_text: bool = False, text_field: str = "text", allow_empty: bool = False
) -> Utterance:
    """Return the utterance of a manifest row, the inverse of `to_row`. Raises ValueError for a faulty row."""
    name, text, offset, duration = fields_of(row, require_text, text_field, allow_empty)
    identifier = row.get("id")
    if identifier is None:
        identifier = name if offset is None else f"{name}@{offset:g}"
    speaker = row.get("speaker")
    return Utterance(
        id=str(identifier),
        audio=Path(os.path.normpath(folder / name)),
        text=text,
        offset=offset or 0.0,
        duration=duration,
        speaker=None if speaker is None else str(speaker),
        extra={key: value for key, value in row.items() if key not in _FIELDS},
    )


def fields_of(
    row: Any, require_text: bool = False, text_field: str = "text", allow_empty: bool = False
) -> tuple[str, str | None, float | None, float | None]:
    """Return the audio path as it is written, the text, offset and duration of a row; ValueError for a faulty row."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f"is a {type(row).__name__}; each line must be one JSON object")
    name, text = row.get("audio_filepath"), row.get(text_field)
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError("has no audio_filepath; add the path of the recording")
    if text_field != "text" and isinstance(text, int | float):
        text = str(text)  # such as the number of a speaker
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{text_field} is {text!r}, not a string; put it in quotes")
    if require_text and not (text or "").strip() and not (allow_empty and text is not None):
        cure = "transcribe it" if text_field == "text" else "add it"
        raise ValueError(f"{name} has no {text_field}; {cure} or remove the line")
    offset, duration = seconds_of(row, "offset"), seconds_of(row, "duration")
    if duration == 0.0:
        raise ValueError(f"{name}: duration is 0 s; correct it or remove the line")
    return name, text, offset, duration


def seconds_of(row: Mapping[str, Any], key: str) -> float | None:
    """Return a field of a row in seconds, or None. Raises ValueError if it is no number of seconds."""
    value = row.get(key)
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if not 0.0 <= seconds < 1e7:
        raise ValueError(f"{key} is {value!r}, not a number of seconds; correct it")
    return seconds
