"""Manifests as Parquet: a table whose columns are the fields of a manifest, for tools that read tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.corpus.manifest import from_rows
from asr.errors import ManifestError, raise_problems
from asr.files import to_json, whole_file
from asr.utterance import Utterance

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"
_TEXTS = ("id", "audio_filepath", "text", "speaker", "hypothesis", "error")
_NUMBERS = ("offset", "duration", "posterior")


def read_parquet(path: Path) -> list[Utterance]:
    """Read a Parquet table as a manifest; audio paths are relative to the folder of the table.

    Values that JSON does not have, such as dates, become texts. Raises ManifestError that lists the first ten faulty
    rows, by their numbers from 1, and counts all further ones.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            rows = pq.read_table(file).to_pylist()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManifestError(f"{path}: cannot be read: {reason}; check the path, and whether it is Parquet") from None
    except pa.ArrowException as error:
        raise ManifestError(f"{path}: is not Parquet ({error}); write it again") from None
    numbered = [(number, _filled(row)) for number, row in enumerate(rows, start=1)]
    utterances, problems = from_rows(numbered, path.parent)
    raise_problems([f"{path}: row {number}: {fault}" for number, fault in problems], ManifestError)
    if not utterances:
        raise ManifestError(f"{path}: holds no utterances; prepare the corpus again")
    return [utterance for _, utterance in utterances]


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of a manifest as a Parquet table, whole or not at all.

    The columns `hypothesis` and `error` are always there. A field whose values are of several kinds is written as JSON,
    and so is a field with whole numbers of more than 64 bits. Raises OutputError if the file cannot be written.
    """
    import pyarrow.parquet as pq

    with whole_file(path) as file:
        pq.write_table(_table(rows), file)


def _table(rows: Sequence[Mapping[str, Any]]) -> "pa.Table":
    import pyarrow as pa

    names = dict.fromkeys(("id", "audio_filepath", *(name for row in rows for name in row), "hypothesis", "error"))
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        kind = pa.string() if name in _TEXTS else pa.float64() if name in _NUMBERS else None
        try:
            columns[name] = pa.array(values, kind)
        except (pa.ArrowException, OverflowError):
            columns[name] = pa.array([None if value is None else to_json(value) for value in values], pa.string())
    return pa.table(columns)


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row that have a value, as JSON has them."""
    return {name: _plain(value) for name, value in row.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return value if value is None or isinstance(value, str | int | float) else str(value)
