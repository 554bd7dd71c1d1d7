"""Rows with the usual column names -> utterances, for tables, JSON lists and metadata files."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asr.corpus.manifest import from_row
from asr.corpus.readers.files import SourceError, usual_split
from asr.corpus.readers.reader import Splits
from asr.corpus.readers.recordings import Recordings
from asr.errors import raise_problems
from asr.utterance import Utterance

# The column names of each field, the most specific name first. The first name that a table has is taken.
_COLUMN_NAMES = {
    "audio_filepath": "audio_filepath audio_path audio_file audio_file_name audio wav_filename wav_path wav filename "
    "file_name filepath file_path path file recording clip",
    "text": "text sentence transcript transcription transcripts normalized_text normalised_text",
    "id": "id utt_id utterance_id",
    "speaker": "speaker speaker_id client_id spk_id spk",
    "offset": "offset start start_time begin",
    "end": "end end_time stop",
    "duration": "duration",
    "split": "split subset partition",
}
_FIELDS = {field: names.split() for field, names in _COLUMN_NAMES.items()}


def fields(header: Iterable[str]) -> dict[str, str]:
    """Return the column of `header` for each manifest field, and for `end` and `split`, if there is one."""
    columns = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in reversed(list(header))}
    found = {field: [columns[name] for name in names if name in columns] for field, names in _FIELDS.items()}
    return {field: columns[0] for field, columns in found.items() if columns}


def has_audio_and_text(header: Iterable[str]) -> bool:
    """Return True if one column names the recordings and another holds the texts."""
    return {"audio_filepath", "text"} <= fields(header).keys()


def read_rows(
    path: Path, rows: Iterable[tuple[int, Any]], recordings: Recordings, folder: Path | None = None
) -> Splits:
    """Convert the numbered rows of `path` to utterances, by the column `split` if there is one.

    A row is a dict by column, or a ValueError for a faulty row. Paths of recordings are relative to `folder`
    (default: the folder of `path`). Raises SourceError that lists the faulty rows.
    """
    splits: Splits = defaultdict(list)
    problems = []
    for line, row in rows:
        try:
            split, utterance = _utterance(row, recordings, folder or path.parent)
            splits[split].append(utterance)
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
    if len(splits) > 1 and "" in splits:
        first = splits[""][0].id
        problems.append(f"{path}: {len(splits[''])} rows name no split, the first is {first}; fill in the column split")
    raise_problems(problems, SourceError)
    return dict(splits)


def _utterance(row: Any, recordings: Recordings, folder: Path) -> tuple[str, Utterance]:
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f"is a {type(row).__name__}; each row must be an object with a recording and a text")
    columns = fields(row)
    if "audio_filepath" not in columns:
        raise ValueError(f"names no recording; call that field audio or path; it has: {', '.join(row) or 'nothing'}")
    named = {field: row[column] for field, column in columns.items()}
    kept = {key: value for key, value in row.items() if key not in columns.values()}
    name, end, split = named["audio_filepath"], named.pop("end", None), named.pop("split", None)
    if isinstance(name, str) and name:
        audio = recordings.find(name, folder)
        identifier = recordings.identify(audio)
        named["audio_filepath"] = str(audio)
        named.setdefault("id", f"{identifier}@{named['offset']}" if named.get("offset") else identifier)
    if end is not None and "duration" not in named:
        try:
            named["duration"] = round(float(end) - float(named.get("offset") or 0), 6)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"end is {end!r}, not a number of seconds; correct it") from None
    return usual_split(str(split or "")), from_row(kept | named, Path())
