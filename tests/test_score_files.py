"""Pairing references with hypotheses from every kind of file, and the errors of files that cannot be read."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import AsrError, ManifestError
from asr.scoring.files import group_by, pair_files
from asr.scoring.kinds import Source
from asr.scoring.readers import Segment, TimedWord, cut, read_entries
from asr.text import Normalizer

NORMALIZER = Normalizer()


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps({"audio_filepath": f"{row['id']}.wav", **row}) for row in rows))
    return path


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def texts(reference: Path, hypothesis: Path) -> list[tuple[str, str, str]]:
    return [(pair.id, pair.reference, pair.hypothesis) for pair in pair_files(reference, hypothesis, NORMALIZER)]


def test_manifests_are_matched_by_id_and_grouped(tmp_path: Path) -> None:
    reference = write_rows(
        tmp_path / "ref.jsonl",
        [{"id": "1", "text": "a b", "speaker": "x"}, {"id": "2", "text": "c d", "speaker": "y", "age": 7}],
    )
    hypothesis = write_rows(tmp_path / "hyp.jsonl", [{"id": "2", "hypothesis": "c"}, {"id": "1", "pred_text": " a  b"}])
    pairs = pair_files(reference, hypothesis, NORMALIZER)
    assert [(pair.reference, pair.hypothesis) for pair in pairs] == [("a b", "a b"), ("c d", "c")]
    assert {value: [pair.id for pair in group] for value, group in group_by(pairs, "speaker").items()} == {
        "x": ["1"],
        "y": ["2"],
    }
    with pytest.raises(AsrError, match="--by age"):
        group_by(pairs, "age")


def test_missing_and_excess_ids_are_an_error_not_a_better_score(tmp_path: Path) -> None:
    both = write_rows(tmp_path / "both.jsonl", [{"id": i, "text": "a", "hypothesis": "a"} for i in "12"])
    one = write_rows(tmp_path / "one.jsonl", [{"id": "1", "text": "a", "hypothesis": "a"}])
    with pytest.raises(ManifestError, match=r"one\.jsonl: lacks 1 utterance \(2\) of .*both\.jsonl"):
        pair_files(both, one, NORMALIZER)
    with pytest.raises(ManifestError, match=r"both\.jsonl: has 1 utterance \(2\) that .*one\.jsonl lacks"):
        pair_files(one, both, NORMALIZER)
    none = write_rows(tmp_path / "none.jsonl", [{"id": "1"}, {"id": "2"}])
    with pytest.raises(ManifestError, match=r"none\.jsonl: 1 has no hypothesis"):
        pair_files(both, none, NORMALIZER)
    with pytest.raises(ManifestError, match=r"none\.jsonl: 1 has no text"):
        pair_files(none, both, NORMALIZER)


@pytest.mark.parametrize("nbest", [3, "ab", ["a", 1], [{"score": 1}]])
def test_nbest_of_another_shape_is_an_error(tmp_path: Path, nbest: object) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"id": "1", "hypothesis": "a", "nbest": nbest}])
    with pytest.raises(ManifestError, match=r"a\.jsonl: 1: nbest must be"):
        read_entries(path, hypotheses=True)


def test_plain_text_line_by_line(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref.txt", "A b", "c")
    assert texts(reference, write(tmp_path / "hyp.txt", "a b", "")) == [("1", "A b", "a b"), ("2", "c", "")]
    with pytest.raises(ManifestError, match=r"has 2 lines.*has 1;"):
        pair_files(reference, write(tmp_path / "short.txt", "a b"), NORMALIZER)


def test_empty_texts_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pair_files(write(tmp_path / "ref.txt", "", "c"), write(tmp_path / "hyp.txt", "a b", ""), NORMALIZER)
    assert "ref.txt: 1 of 2 references are empty; all words of their hypotheses count as inserted" in caplog.text
    assert "hyp.txt: 1 of 2 hypotheses are empty; all words of their references count as deleted" in caplog.text


def test_kaldi_text_by_name_or_by_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reference = write(tmp_path / "text", "u1 one two", "u2 three", "speaker-x four")
    hypothesis = write(tmp_path / "hyp.text", "u2", "speaker-x\tfour", "u1 one  two", "")
    assert texts(reference, hypothesis) == [
        ("u1", "one two", "one two"),
        ("u2", "three", ""),
        ("speaker-x", "four", "four"),
    ]
    assert "read as Kaldi" not in caplog.text
    by_content = write(tmp_path / "ref.txt", "u1 one two", "u2 three")
    assert texts(by_content, write(tmp_path / "hyp.txt", "u2 three", "u1 one")) == [
        ("u1", "one two", "one"),
        ("u2", "three", "three"),
    ]
    assert "ref.txt: every line begins with an id, so it is read as Kaldi text" in caplog.text
    with pytest.raises(ManifestError, match="id 'u1' stands there twice"):
        pair_files(reference, write(tmp_path / "twice.text", "u1 a", "u1 b"), NORMALIZER)


@pytest.mark.parametrize("line", ["one", "u2 three", "2 three", ""])
def test_what_is_not_surely_kaldi_is_plain(tmp_path: Path, line: str) -> None:
    """No digit in the first word, one id twice, only digits; an empty line alone does not decide."""
    path = write(tmp_path / "a.txt", "u2 one two", line)
    assert Source.read(path).kind == ("kaldi" if line == "" else "plain")


def test_ids_and_plain_text_do_not_mix(tmp_path: Path) -> None:
    manifest = write_rows(tmp_path / "ref.jsonl", [{"id": "u1", "text": "a"}])
    with pytest.raises(ManifestError, match=r"ref\.jsonl is a manifest.*hyp\.txt is plain text"):
        pair_files(manifest, write(tmp_path / "hyp.txt", "a"), NORMALIZER)
    assert texts(manifest, write(tmp_path / "hyp.text", "u1 a")) == [("u1", "a", "a")]


def test_ctm_by_recording(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reference = write(tmp_path / "text", "u1 one two", "u2 three")
    hypothesis = write(tmp_path / "hyp.ctm", ";; comment", "u1 1 0.5 0.2 two 0.9", "u1 1 0.1 0.2 one")
    assert texts(reference, hypothesis) == [("u1", "one two", "one two"), ("u2", "three", "")]
    assert "hyp.ctm: has no word of 1 utterance (u2); the hypothesis counts as empty" in caplog.text
    stereo = write(tmp_path / "stereo.ctm", "u1 A 0 1 one", "u1 B 0 1 two")
    assert [entry.id for entry in read_entries(stereo, hypotheses=True)] == ["u1-A", "u1-B"]


def test_ctm_is_cut_by_the_times_of_the_stm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reference = write(
        tmp_path / "ref.stm",
        "talk 1 anna 0.00 2.00 <o,f0,female> one two",
        "talk 1 noise 2.00 3.00 ignore_time_segment_in_scoring",
        "talk 1 ben 4.00 6.00 three",
        "talk 2 ben 0.00 1.00 four",
    )
    words = ["0.1 0.2 one", "1.8 0.3 two", "2.4 0.2 cough", "3.2 0.1 gap", "3.7 0.1 early", "4.5 0.5 three"]
    hypothesis = write(tmp_path / "hyp.ctm", *(f"talk 1 {word}" for word in reversed(words)))
    pairs = pair_files(reference, hypothesis, NORMALIZER)
    assert [(pair.speaker, pair.reference, pair.hypothesis) for pair in pairs] == [
        ("anna", "one two", "one two"),
        ("ben", "three", "early three"),
        ("ben", "four", ""),
    ]
    assert "1 segment is marked as not to be scored" in caplog.text
    with pytest.raises(ManifestError, match=r"has words of talk channel 3; .*ref\.stm has no segment of it"):
        pair_files(reference, write(tmp_path / "other.ctm", "talk 3 0 1 x"), NORMALIZER)
    assert texts(reference, reference)[0] == ("talk-1-0.00-2.00", "one two", "one two")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=30),
    st.lists(st.floats(0, 90), min_size=1, max_size=6),
)
def test_cutting_loses_no_word_and_takes_the_nearest_segment(
    times: list[tuple[float, float]], starts: list[float]
) -> None:
    channel = ("r", "1")
    bounds = sorted(set(starts))
    segments = [
        Segment(channel, "s", start, start + 0.6 * (end - start), "")
        for start, end in zip(bounds, [*bounds[1:], 100.0], strict=True)
    ]
    found = cut([TimedWord(channel, start, length, str(i)) for i, (start, length) in enumerate(times)], segments)
    assert sorted(word for words in found.values() for word in words) == sorted(map(str, range(len(times))))
    for segment, words in found.items():
        for word in words:
            middle = times[int(word)][0] + times[int(word)][1] / 2
            distances = [max(one.start - middle, middle - one.end, 0.0) for one in segments]
            assert max(segment.start - middle, middle - segment.end, 0.0) == min(distances)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("a.ctm", "u1 1 0.1 two", r"a\.ctm:2: has 4 fields, not `recording channel"),
        ("a.ctm", "u1 1 0.1 -1 two", r"a\.ctm:2: '-1' is not a number of seconds"),
        ("a.ctm", "u1 1 nan 1 two", r"a\.ctm:2: 'nan' is not a number of seconds"),
        ("a.ctm", "u1 1 * * <ALT_BEGIN>", r"a\.ctm:2: '\*' is not a number of seconds"),
        ("a.stm", "u1 1 x 0.1", r"a\.stm:2: has 4 fields, not `recording channel speaker"),
        ("a.stm", "u1 1 x 2 1 two", r"a\.stm:2: ends at 1 s, where or before it starts"),
        ("a.stm", "u1 1 x inf 1 two", r"a\.stm:2: 'inf' is not a number of seconds"),
        ("text", "", "holds no utterances"),
        ("missing.ctm", None, r"missing\.ctm: no such file"),
    ],
)
def test_broken_files_are_named_with_line_and_cure(tmp_path: Path, name: str, line: str | None, message: str) -> None:
    path = tmp_path / name
    if line is not None:
        write(path, ";; comment" if path.suffix else "", line)
    with pytest.raises(ManifestError, match=message):
        read_entries(path, hypotheses=True)


def test_every_broken_line_is_listed(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"(?s)a\.ctm:1: .*a\.ctm:10: .*… and 5 more lines") as raised:
        read_entries(write(tmp_path / "a.ctm", *["broken"] * 15), hypotheses=True)
    assert len(str(raised.value).split("\n")) == 11


LINES = st.lists(
    st.lists(
        st.sampled_from(["u1", "u2", "1", "0.5", "1e400", "-0", "<o>", ";;", "", "\t", "\u2028", "\0", "é"])
        | st.text(max_size=4),
        max_size=8,
    ).map(" ".join),
    max_size=5,
).map("\n".join)


@pytest.mark.parametrize("name", ["a.ctm", "a.stm", "text", "a.txt"])
@settings(deadline=None)
@given(content=LINES.map(str.encode) | st.binary(max_size=60))
def test_no_content_makes_a_traceback(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        entries = read_entries(path, hypotheses=True)
        assert entries and len({entry.id for entry in entries}) == len(entries)
        pair_files(path, path, NORMALIZER)
    except AsrError as error:
        assert str(path) in str(error)


def test_a_file_against_itself_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = write(tmp_path / "a.trn", "one two (a-1)", "three (a-2)")
    other = write(tmp_path / "b.trn", "one two (a-1)", "three (a-2)")
    pair_files(lines, other, NORMALIZER)
    assert "itself" not in caplog.text
    pair_files(lines, lines, NORMALIZER)
    assert "a.trn: is compared with itself, so there are no errors; name the hypotheses" in caplog.text
    caplog.clear()
    rows = write_rows(tmp_path / "c.jsonl", [{"id": "1", "text": "one", "hypothesis": "won"}])
    assert texts(rows, rows) == [("1", "one", "won")]
    assert "itself" not in caplog.text
