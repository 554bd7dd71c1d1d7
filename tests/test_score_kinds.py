"""The kinds of files to score, recognised by content; structured files that are refused by name; standard input."""

import json
from pathlib import Path

import pytest
from processes import run_asr

from asr.errors import ManifestError
from asr.scoring.files import pair_files
from asr.scoring.kinds import Source
from asr.text import Normalizer


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def texts(reference: Path, hypothesis: Path) -> list[tuple[str, str, str]]:
    return [(pair.id, pair.reference, pair.hypothesis) for pair in pair_files(reference, hypothesis, Normalizer())]


REFUSED = {
    "subtitles": ["1", "00:00:01,000 --> 00:00:02,000", "one two"],
    "subtitles ": ["WEBVTT", "", "00:01.000 --> 00:02.000", "one"],
    "subtitles  ": ["[00:00.000 --> 00:02.000] one"],
    "lyrics": ["[ar:anna]", "[00:12.00]one two"],
    "lines labelled `ref:` and `hyp:`": ["ref: one two", "hyp: one too"],
    "lines labelled `ref:` and `hyp:` ": ["id: (u-1)", "REF:  one", "HYP:  one"],
    "a report of alignments": ["REF one two", "HYP one too"],
    "a report of alignments ": ["u1 ref one two", "u1 hyp one too", "u1 op C S"],
    "XML or HTML": ['<?xml version="1.0"?>', "<a/>"],
    "XML or HTML ": ["<Trans>", "one", "</Trans>"],
    "a Praat TextGrid": ['File type = "ooTextFile"', 'Object class = "TextGrid"'],
    "a Praat TextGrid ": ['"ooTextFile"', '"TextGrid"'],
    "labels with times": ["0.0\t1.0\tone", "1.0\t2.0\ttwo"],
    "labels with times ": ["0 3200000 one", "3200000 5000000 two"],
    "lines that begin with a time": ["0:01 one", "0:05 two"],
    "a table": ["id,text", "1,one"],
    "a table ": ["u1|one|One.", "u2|two|Two."],
    "a table  ": ["tier\t\t00:01\tone"],
    "a table   ": ["a.wav,one", "b.wav,two"],
    "lines with labels such as `name:`": ["anna: one two", "ben: three"],
    "Toolbox": ["\\ref 1", "\\tx one"],
    "RTTM": ["SPEAKER a 1 0.0 1.0 <NA> <NA> x <NA>"],
    "a CHAT transcript": ["@UTF8", "@Begin"],
    "settings or program text": ["{'text': 'one'}"],
}


@pytest.mark.parametrize(("what", "lines"), REFUSED.items())
@pytest.mark.parametrize("name", ["hyp.txt", "text"])
def test_structured_text_is_refused_by_name(tmp_path: Path, name: str, what: str, lines: list[str]) -> None:
    path = write(tmp_path / name, *lines)
    with pytest.raises(
        ManifestError, match=rf"{name}.*: looks like {what.strip()}.*, which cannot be scored; give plain"
    ):
        texts(path, path)


@pytest.mark.parametrize("suffix", [".srt", ".VTT", ".TextGrid", ".eaf", ".xml", ".yaml", ".cha"])
def test_suffixes_of_other_kinds_are_refused_in_any_case(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ManifestError, match=r"one\S+: is .*, which cannot be scored"):
        texts(path := write(tmp_path / f"one{suffix}", "one two"), path)


@pytest.mark.parametrize(
    ("name", "lines", "kind"),
    [
        ("a.STM", ["t 1 anna 0 2 one"], "stm"),
        ("a.Ctm", ["t 1 0 2 one"], "ctm"),
        ("a.TRN", ["one (u)"], "trn"),
        ("a.CSV", ["audio_filepath,text"], "manifest"),
        ("hyp.txt", ["t 1 anna 0.0 2.0 one"], "stm"),
        ("hyp.txt", ["t 1 0.10 0.2 one", "t 1 0.5 0.2 two 0.9"], "ctm"),
        ("hyp.txt", ["one two (u-1)", "(u-2)"], "trn"),
        ("hyp.txt", ["my talk\tone two", "other\tthree"], "kaldi"),
        ("hyp.txt", ['{"text": "one"}'], "json"),
        ("hyp.txt", ["[1, 2]"], "json"),
        # Plain text that only looks like another kind.
        ("hyp.txt", ["1 2 3 4 5", "2 3 4 5 6"], "plain"),
        ("hyp.txt", ["one two", "three (laughs)"], "plain"),
        ("hyp.txt", ["<unk> one", "text me, later", "note: one line"], "plain"),
        ("hyp.txt", ["{ one / won } two"], "plain"),
        ("hyp.txt", ["start your engines, please"], "plain"),
    ],
)
def test_kinds_by_suffix_and_by_content(tmp_path: Path, name: str, lines: list[str], kind: str) -> None:
    assert Source.read(write(tmp_path / name, *lines)).kind == kind


def test_trn_is_matched_by_id(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref", ";; comment", "one two (spk-1)", "three @ four (spk-2)", "(spk-3)")
    hypothesis = write(tmp_path / "hyp", "three four (spk-2)", "five (spk-3)", "one too (spk-1)")
    found = [("spk-1", "one two", "one too"), ("spk-2", "three four", "three four"), ("spk-3", "", "five")]
    assert texts(reference, hypothesis) == found
    assert texts(reference, write(tmp_path / "text", "spk-1 one too", "spk-2 three four", "spk-3 five")) == found
    lacking = write(tmp_path / "lacking", "one (spk-1)", "two (spk-2)", "three")
    with pytest.raises(ManifestError, match=r"lacking:3: has no id in parentheses"):
        texts(reference, lacking)
    with pytest.raises(ManifestError, match=r"a\.trn:1: has no id in parentheses"):
        texts(reference, write(tmp_path / "a.trn", "one"))


@pytest.mark.parametrize("name", ["n.json", "n.txt"])
@pytest.mark.parametrize("indent", [None, 1])
def test_json_of_nemo_by_content(tmp_path: Path, name: str, indent: int | None) -> None:
    rows = [{"audio_filepath": f"{i}.wav", "text": "one two", "pred_text": f"one {i}"} for i in "ab"]
    path = tmp_path / name
    path.write_text(json.dumps(rows, indent=1) if indent else "\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert texts(path, path) == [("a.wav", "one two", "one a"), ("b.wav", "one two", "one b")]


@pytest.mark.parametrize("content", ['{"segments": []}', '["one two"]', "[1]", '{"id": "u", "text": "one"}', '{"a": '])
def test_json_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    """The fourth has a reference and no hypothesis."""
    reference = write(tmp_path / "text", "u one")
    with pytest.raises(ManifestError, match=r"hyp\.txt:\d: is "):
        texts(reference, write(tmp_path / "hyp.txt", content))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "ids"),
    [
        (["anna one", "ben two"], ["ben two", "anna one"], True),  # another order
        (["c-x one", "a-y two"], ["c-x one", "a-y too"], True),  # marks inside
        (["anna one", "ben two", "carl six"], ["anna one", "ben two", "carl sex"], True),  # sorted, nowhere inside
        (["yes no", "no yes"], ["yes no", "no yes"], False),
        (["you too", "me two", "he"], ["you too", "me too", "he"], False),
        (["one two", "two one"], ["one two", "three one"], False),
    ],
)
def test_kaldi_ids_without_digits(tmp_path: Path, reference: list[str], hypothesis: list[str], ids: bool) -> None:
    pairs = texts(write(tmp_path / "r.txt", *reference), write(tmp_path / "h.txt", *hypothesis))
    assert [pair[0] for pair in pairs] == (
        [line.split()[0] for line in reference] if ids else ["1", "2", "3"][: len(pairs)]
    )


def test_lines_that_begin_with_ids_of_the_other_file_are_kaldi_text(tmp_path: Path) -> None:
    manifest = write(
        tmp_path / "r.jsonl", *[json.dumps({"id": i, "audio_filepath": i, "text": "one"}) for i in ("x", "y")]
    )
    assert texts(manifest, write(tmp_path / "h", "y two", "x one")) == [("x", "one", "one"), ("y", "one", "two")]


def test_words_that_might_be_ids_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    texts(path := write(tmp_path / "r.txt", "you too", "me two", "he"), path)
    assert "lines begin with the same words, which are scored; if they are ids, name the files .text" in caplog.text


def test_names_with_spaces_are_matched_with_a_ctm(tmp_path: Path) -> None:
    reference = write(tmp_path / "r", "my talk\tone two", "other\tthree")
    assert texts(reference, write(tmp_path / "h.ctm", "other 1 0 1 three", "my_talk 1 0 1 one")) == [
        ("my talk", "one two", "one"),
        ("other", "three", "three"),
    ]


def test_standard_input(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref", "one two (u-1)")
    done = run_asr("score", "-", reference, stdin="one too (u-1)\n")
    assert done.stdout.splitlines()[-1].startswith("%WER 50.00 [1 / 2")
    assert "standard input: is read as a trn" in done.stderr
    assert "standard input can be only one of the files" in run_asr("score", "-", "-", stdin="").stderr
