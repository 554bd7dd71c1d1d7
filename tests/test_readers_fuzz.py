"""Hostile files: every reader ends soon, in flat memory, with utterances or an AsrError, never with another error."""

import gzip
import json
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import prepare
from asr.corpus.readers import READERS
from asr.corpus.readers.files import SourceError
from asr.errors import AsrError

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="file:///a.wav" MIME_TYPE="audio/x-wav"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="900"/>
</TIME_ORDER><TIER TIER_ID="tx" PARTICIPANT="anna"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>hé</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
TEXTGRID = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "tx"
        xmin = 0
        xmax = 2.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "hé ""x"""
        intervals [2]:
            xmin = 1
            xmax = 2.5
            text = ""
'''
CUT = {
    "id": "c", "start": 0, "duration": 1, "type": "MonoCut",
    "supervisions": [{"id": "s", "start": 0, "duration": 1, "text": "hé"}],
    "recording": {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}]},
}  # fmt: skip
SAMPLES = {
    "x.eaf": EAF,
    "x.TextGrid": TEXTGRID,
    "x.csv": 'audio,text,speaker,start,end,split\na.wav,"hé, ""x""",anna,0.5,1,train\n',
    "metadata.csv": "file_name|text\na.wav|hé\n",
    "x.tsv": "path\tsentence\na.wav\thé\n",
    "train.tsv": "client_id\tpath\tsentence\nanna\ta.wav\thé\n",
    "x.json": '[{"path": "a.wav", "text": "h\\u00e9", "offset": 1, "duration": 0.5}]',
    "x.jsonl": '{"audio_filepath": "a.wav", "text": "hé", "speaker": null, "x": [1e5, {}]}\n',
    "cuts.jsonl": json.dumps(CUT, ensure_ascii=False) + "\n",
    "wav.scp": "a a.wav\n",
    "text": "a hé\n",
    "segments": "a a 0.5 1\n",
    "a.txt": "hé",
}
# Characters with a meaning in the grammar of some reader.
PIECES = [b'"', b"'", b"\n", b"\r", b"\0", b"\t", b",", b"|", b"<", b">", b"&", b"[", b"]", b"{", b"}", b":",
          b"-1", b"1e999", b"NaN", b"9" * 5000, b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\\ud800", b"..", b"/",
          b"null", b"x" * 300, b"\xe2\x80\xa8"]  # fmt: skip

# No deadline, because a busy machine would exceed it; a reader that hangs is noticed anyway.
repeatable = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def damaged(draw: st.DrawFn, sample: bytes) -> bytes:
    """Draw a valid file with some parts removed, doubled or overwritten."""
    content = sample
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        filling = draw(st.sampled_from([*PIECES, b"", content[start:end] * 2]) | st.binary(max_size=8))
        content = content[:start] + filling + content[end:]
    return content


def prepared_or_refused(source: Path, out: Path) -> None:
    """Prepare the source in every format: the manifests can be read again, or an error names the source."""
    for format in [None, *READERS]:
        try:
            prepared = prepare(source, out, fractions=None if format is None else [1.0], format=format)
        except AsrError as error:
            assert str(source) in str(error) or str(error).startswith("--split"), error
            continue
        for name, utterances in prepared.manifests.items():
            again = read_manifest(out / f"{name}.jsonl")
            assert [(u.id, u.text, u.offset, u.speaker) for u in again] == [
                (u.id, u.text, u.offset, u.speaker) for u in utterances
            ]


@pytest.mark.parametrize("name", SAMPLES)
@repeatable
@given(data=st.data())
def test_damaged_files(tmp_path: Path, name: str, data: st.DataObject) -> None:
    source = tmp_path / "source"
    (source / "clips").mkdir(parents=True, exist_ok=True)
    (source / "a.wav").touch()
    if name in ("text", "segments"):
        (source / "wav.scp").write_text(SAMPLES["wav.scp"])
    if name == "segments":
        (source / "text").write_text(SAMPLES["text"])
    content = data.draw(damaged(SAMPLES[name].encode()) | st.binary(max_size=60))
    (source / name).write_bytes(content)
    prepared_or_refused(source, tmp_path / "out")
    if name.endswith(("sv", "l", "json")):
        try:
            read_manifest(source / name)
        except AsrError as error:
            assert name in str(error)


@repeatable
@given(
    cells=st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip)), min_size=1
    ).filter(lambda cells: all(cell for (cell,) in cells)),
    delimiter=st.sampled_from(",;\t"),
)
def test_any_text_comes_through_a_quoted_table(tmp_path: Path, cells: list[tuple[str]], delimiter: str) -> None:
    """The table is written with every field in quotes, without the csv module."""
    lines = [f'"x{n}.wav"{delimiter}"{text.replace(chr(34), chr(34) * 2)}"' for n, (text,) in enumerate(cells)]
    (tmp_path / "x.csv").write_text("\r\n".join([f"audio{delimiter}text", *lines]), "utf-8", newline="")
    read = READERS["table"].read(tmp_path / "x.csv")
    assert [utterance.text for utterance in read[""]] == [text for (text,) in cells]


@repeatable
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
def test_any_text_comes_through_a_textgrid(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.TextGrid").write_text(TEXTGRID.replace('hé ""x""', text.replace('"', '""')), "utf-16", newline="")
    (utterance,) = READERS["textgrid"].read(tmp_path / "x.TextGrid")[""]
    assert utterance.text == text and (utterance.offset, utterance.duration) == (0.0, 1.0)


def refuse(source: Path, format: str, seconds: float = 5.0, megabytes: float = 100.0) -> str:
    """Return the message of the refusal, which must come within these limits of time and memory."""
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(SourceError) as caught:
        READERS[format].read(source)
    elapsed, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert elapsed < seconds and peak < megabytes * 1e6
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_in_eaf_are_refused(tmp_path: Path, encoding: str) -> None:
    """Entities that expand to gigabytes ("billion laughs"), and an entity that reads another file."""
    laughs = '<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    (tmp_path / "secret").write_text("secret")
    for name, entities in (("l9", laughs), ("f", f'<!ENTITY f SYSTEM "file://{tmp_path}/secret">')):
        content = EAF.replace("UTF-8", encoding).replace("<ANNOTATION_D", f"<!DOCTYPE A [{entities}]><ANNOTATION_D")
        (tmp_path / "x.eaf").write_text(content.replace("hé", f"&{name};"), encoding)
        assert "declares a document type" in refuse(tmp_path / "x.eaf", "eaf")


def test_annotations_that_refer_to_each_other_are_refused(tmp_path: Path) -> None:
    circle = "".join(
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{a}" ANNOTATION_REF="{b}"/></ANNOTATION>' for a, b in ("xy", "yx")
    )
    (tmp_path / "x.eaf").write_text(EAF.replace("<ANNOTATION>", circle + "<ANNOTATION>", 1))
    assert "refers to itself" in refuse(tmp_path / "x.eaf", "eaf")


def test_deep_and_long_files_end_soon(tmp_path: Path) -> None:
    deep = tmp_path / "deep.eaf"
    deep.write_text("<a>" * 200_000)
    refuse(deep, "eaf")
    open_quote = tmp_path / "open.TextGrid"
    open_quote.write_text(TEXTGRID + '"' + "x\n" * 500_000)
    assert READERS["textgrid"].read(open_quote)[""][0].text == 'hé "x"'
    open_quote.write_text(TEXTGRID.replace("size = 2", "size = 999999999999") + '"x\n' * 300_001)
    refuse(open_quote, "textgrid")
    table = tmp_path / "open.csv"
    table.write_text('audio,text,x\n"a.wav,"b\n' + "a.wav,b\n" * 20_000)
    refuse(table, "table", megabytes=100)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    line = json.dumps(CUT) + "\n"
    for content in (line[:-2] + " " * 8_000_000, line + (" " * 1000 + "\n") * 8_000):
        bomb = tmp_path / "cuts.jsonl.gz"
        with gzip.open(bomb, "wt", 9) as file:
            file.write(content)
        if content.endswith("\n"):
            assert "the uncompressed file is too large" in refuse(bomb, "lhotse", seconds=60)
        else:
            assert not READERS["lhotse"].recognises(bomb)
            refuse(bomb, "lhotse")
