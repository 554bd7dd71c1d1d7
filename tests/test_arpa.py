"""ARPA files: what is written is read again, files of other programs, malformed files."""

import gzip
import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import LanguageModelError
from asr.lm.arpa import read_arpa, write_arpa
from asr.lm.estimate import estimate

# As KenLM and SRILM write them: comments, tabs or spaces, missing back-off weights, -99, blank lines.
ARPA = """made by hand

\\data\\
ngram 1=5
ngram 2=3
ngram  3 = 1

\\1-grams:
-1.5 <unk>
-99\t<s>\t-0.5
-0.7\t</s>
-0.5   a   -0.25

-0.9\tb\t0.125

\\2-grams:
-0.2\ta b\t-0.3
-0.1\t<s> a
-0.4\tb </s>

\\3-grams:
-0.05\t<s> a b

\\end\\
"""


def score(arpa: str, path: Path, *words: str, start: bool = True, end: bool = True) -> float:
    path.write_text(arpa)
    return read_arpa(path).score(words, start=start, end=end) / math.log(10)


def test_scores_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    assert score(ARPA, path, "a", "b") == pytest.approx(-0.1 - 0.05 - 0.3 - 0.4)  # the back-off weight of "a b" is -0.3
    assert score(ARPA, path, "b") == pytest.approx(-0.5 - 0.9 - 0.4)
    assert score(ARPA, path, "zzz", "a") == pytest.approx(-0.5 - 1.5 - 0.5 - 0.25 - 0.7)
    assert score(ARPA, path, "a", "b", start=False, end=False) == pytest.approx(-0.5 - 0.2)
    assert read_arpa(path).order == 3 and read_arpa(path).units == "words"


@pytest.mark.parametrize(
    "change", [("\n", "\r\n"), ("\t", "    "), ("<s> a b\n", "<s> a b\t-1\n"), ("-99", "-inf"), ("made", "# made")]
)
def test_dialects_score_the_same(tmp_path: Path, change: tuple[str, str]) -> None:
    path = tmp_path / "lm.arpa"
    for words in (["a", "b"], ["b", "x", "a"]):
        expected = score(ARPA, path, *words)
        assert score(ARPA.replace(*change), path, *words) == expected


def test_what_a_file_lacks_is_all_but_impossible(tmp_path: Path) -> None:
    arpa = "\\data\\\nngram 1=1\n\n\\1-grams:\n0\ta\n\n\\end\\\n"
    path = tmp_path / "lm.arpa"
    assert score(arpa, path, "a", end=False) == 0
    assert score(arpa, path, "b", end=False) == score(arpa, path, "a") == pytest.approx(-100)


def test_order_of_lines_does_not_matter_and_gz(tmp_path: Path) -> None:
    first, second = ARPA.index("-0.2\t"), ARPA.index("-0.1\t")
    swapped = ARPA[:first] + ARPA[second : ARPA.index("-0.4\t")] + ARPA[first:second] + ARPA[ARPA.index("-0.4\t") :]
    (tmp_path / "a.arpa").write_text(ARPA)
    (tmp_path / "b.arpa.gz").write_bytes(gzip.compress(swapped.encode()))
    a, b = read_arpa(tmp_path / "a.arpa"), read_arpa(tmp_path / "b.arpa.gz")
    for x, y in zip(a.tables, b.tables, strict=True):
        assert (x == y).all()


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
@pytest.mark.parametrize("units", ["words", "characters"])
def test_written_models_come_back(tmp_path: Path, name: str, units: str) -> None:
    path = tmp_path / "deep" / name
    model = estimate(["kyéma yeékirá ikóó", "yeékirá wó adí", "a\u00adb ,"], units=units).model  # type: ignore[arg-type]
    write_arpa(path, model, ["a comment"])
    again = read_arpa(path)
    assert (again.vocabulary, again.units, again.order) == (model.vocabulary, model.units, model.order)
    for text in ("yeékirá ikóó", "b wó"):
        assert again.score(again.tokens(text)) == pytest.approx(model.score(model.tokens(text)), abs=1e-4)
    content = path.read_bytes()
    lines = (gzip.decompress(content) if name.endswith("gz") else content).decode().split("\n")
    assert lines[:2] == ["# a comment", f"# units: {units}"]
    assert any(line.startswith("-99\t<s>\t") for line in lines)
    assert [file.name for file in path.parent.glob("*.part")] == []


def test_units_are_told_by_the_space_token(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA.replace(" b", " <space>").replace("\tb", "\t<space>"))
    assert read_arpa(path).units == "characters"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("\\data\\\n", "", 23, "ends before"),
        ("ngram 1=5", "ngram 2=5", 4, "without a gap"),
        ("ngram 1=5", "ngram one", 4, "must come `ngram 1=COUNT`"),
        ("ngram 1=5", "ngram 1=6", 16, "5 1-grams end here, .* announces 6"),
        ("\\2-grams:", "\\3-grams:", 16, "must stand here, not"),
        ("\\end\\\n", "", 23, "ends before"),
        ("\\end\\", "\\ende\\", 24, "must stand here, not"),
        ("-0.9\tb", "-0,9\tb", 14, "must be numbers"),
        ("-0.9\tb", "nan\tb", 14, "must be 0 or less"),
        ("-0.9\tb", "0.1\tb", 14, "must be 0 or less"),
        ("0.125", "inf", 14, "weight finite"),
        ("-0.9\tb", "-0.9\tb c d", 14, "1 word, and"),
        ("-0.2\ta b\t-0.3", "-0.2\ta", 17, "2 words, and"),
        ("-0.2\ta b", "-0.2\ta c", 17, "'c' is not among the 1-grams"),
        ("-0.4\tb </s>", "-0.4\ta b", 19, "'a b' stands here a second time"),
        ("-1.5 <unk>", "-1.5 a", 12, "'a' stands here a second time"),
        ("-0.05\t<s> a b", "-0.05\tb a b", 22, "its history 'b a' is not among the 2-grams"),
        ("-0.9\tb", "-0.9\t\udcff", None, "is not UTF-8"),
    ],
)
def test_malformed_files_are_named_by_line(tmp_path: Path, old: str, new: str, line: int | None, message: str) -> None:
    path = tmp_path / "lm.arpa"
    assert ARPA.count(old) == 1
    path.write_bytes(ARPA.replace(old, new).encode(errors="surrogateescape"))
    if line is None:
        path.write_bytes(path.read_bytes().replace(b"b", b"\xff"))
    with pytest.raises(LanguageModelError, match=message) as caught:
        read_arpa(path)
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="no such language model"):
        read_arpa(tmp_path / "nothing.arpa")
    path = tmp_path / "lm.arpa.gz"
    whole = gzip.compress(ARPA.encode() * 50)
    for content in (whole[:60], b"plain", whole[:30] + b"\0\xff" * 20):
        path.write_bytes(content)
        with pytest.raises(LanguageModelError, match="compressed file is damaged"):
            read_arpa(path)


PIECES = [b"", b"\n", b"\t", b"a", b"<s>", b"9", b"-", b"e", b"1e999", b"\0", b"\\", b"\\2-grams:\n", b"ngram 4=0\n"]


@settings(deadline=None)
@given(data=st.data())
def test_fuzz(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any damage to a file gives a usable model or our error."""
    path = tmp_path_factory.getbasetemp() / "fuzz.arpa"
    content = bytearray(ARPA.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 12))
        content[start:end] = data.draw(st.sampled_from(PIECES) | st.binary(max_size=6))
    path.write_bytes(content)
    try:
        model = read_arpa(path)
    except LanguageModelError as error:
        assert str(error).startswith(str(path))
        return
    assert math.isfinite(model.score(["a", "b", "x", "a"]))


def test_kenlm_gives_the_same_scores(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    lines = ["a b c d", "b c a", "a b", "c d a b"] * 3 + ["d"]
    for units in ("words", "characters"):
        model = estimate(lines, units=units).model  # type: ignore[arg-type]
        write_arpa(tmp_path / "lm.arpa", model)
        other = kenlm.Model(str(tmp_path / "lm.arpa"))
        for text in ("a b c d", "d c b a", "x a"):
            tokens = model.tokens(text)
            assert model.score(tokens) / math.log(10) == pytest.approx(other.score(" ".join(tokens)), abs=1e-4)


def test_bombs_end_soon(tmp_path: Path) -> None:
    """A line without an end, a small file that grows without an end, and n-grams of any length."""
    path = tmp_path / "lm.arpa.gz"
    for content, message in (
        (b"x" * 5_000_000, "longer than 1048576 bytes"),
        ((b"c" * 999 + b"\n") * 12_000, "more than 100 times its size"),
        (b"\\data\\\n" + b"".join(b"ngram %d=1\n" % order for order in range(1, 200)), "more than 100 words"),
    ):
        path.write_bytes(gzip.compress(content))
        tracemalloc.start()
        with pytest.raises(LanguageModelError, match=message) as caught:
            read_arpa(path)
        assert str(path) in str(caught.value) and tracemalloc.get_traced_memory()[1] < 10e6
        tracemalloc.stop()
