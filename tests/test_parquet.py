"""Manifests as Parquet: what is written is read again, and what cannot be read is named."""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from asr.corpus.manifest import read_manifest, write_manifest  # noqa: E402
from asr.corpus.parquet import read_parquet, write_parquet  # noqa: E402
from asr.errors import ManifestError  # noqa: E402
from asr.utterance import Utterance  # noqa: E402

_VALUES = st.none() | st.text(max_size=4) | st.integers() | st.floats(allow_nan=False) | st.lists(st.integers())


def test_a_manifest_and_its_table_are_equal(tmp_path: Path) -> None:
    nbest = [{"text": "abc", "score": -1.5}, {"text": "", "score": -2.0}]
    lines = [
        Utterance("a", tmp_path / "audio" / "ä b.wav", "text", 1.5, 2.25, "s1", {"nbest": nbest, "day": 3}),
        Utterance("b", tmp_path / "audio" / "b.wav", extra={"hypothesis": "x", "posterior": 1}),
    ]
    write_manifest(tmp_path / "m.jsonl", lines)
    rows = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text(encoding="utf-8").splitlines()]
    write_parquet(tmp_path / "m.parquet", rows)
    assert read_parquet(tmp_path / "m.parquet") == read_manifest(tmp_path / "m.jsonl") == lines
    table = pq.read_table(tmp_path / "m.parquet")
    assert table.column("duration").type == pa.float64() and table.column("hypothesis").type == pa.string()
    assert table.column_names[:2] == ["id", "audio_filepath"] and table.column_names[-1] == "error"


@settings(deadline=None, max_examples=30)
@given(values=st.lists(_VALUES, min_size=1, max_size=5))
def test_any_field_is_written(values: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "t.parquet"
    write_parquet(path, [{"id": str(n), "audio_filepath": "a.wav", "field": one} for n, one in enumerate(values)])
    found = pq.read_table(path).column("field").to_pylist()
    assert [one is None for one in found] == [one is None for one in values]
    numbers = [number for one in values for number in (one if isinstance(one, list) else [one])]
    if len({type(one) for one in values}) > 1:
        return
    if any(isinstance(number, int) and not -(2**63) <= number < 2**63 for number in numbers):
        found = [None if one is None else json.loads(one) for one in found]
    assert found == values


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    write_parquet(tmp_path / "none.parquet", [])
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    with pytest.raises(ManifestError, match="holds no utterances"):
        read_parquet(tmp_path / "none.parquet")


def test_faulty_rows_are_listed_by_number(tmp_path: Path) -> None:
    columns = {"audio_filepath": ["a.wav", None, "c.wav", "d.wav"], "id": ["1", "2", "1", "4"]}
    columns["duration"] = [1.0, 1.0, 1.0, math.nan]  # type: ignore[list-item]
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(ManifestError) as caught:
        read_parquet(tmp_path / "t.parquet")
    first, second, third = str(caught.value).split("\n")
    assert first.endswith("t.parquet: row 2: has no audio_filepath; add the path of the recording")
    assert "row 3: id '1' repeats line 1" in second and "row 4: duration is nan" in third


def test_values_that_json_does_not_have_become_texts(tmp_path: Path) -> None:
    columns = {"audio_filepath": ["a.wav"], "when": [date(2026, 11, 30)], "raw": [[b"x"]]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    (line,) = read_parquet(tmp_path / "t.parquet")
    assert line.extra == {"when": "2026-11-30", "raw": ["b'x'"]} and line.audio == tmp_path / "a.wav"


@pytest.mark.parametrize("content", [b"", b"PAR1 and no table", b'{"audio_filepath": "a.wav"}\n'])
def test_what_is_no_table_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"t\.parquet: is not Parquet"):
        read_parquet(path)
    with pytest.raises(ManifestError, match=r"missing\.parquet: cannot be read: No such file"):
        read_parquet(tmp_path / "missing.parquet")
