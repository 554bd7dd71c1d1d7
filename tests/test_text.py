"""The normaliser and the units: every kind of unit, round trips, digraphs, units files and their faults."""

import itertools
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import TextError
from asr.text import Normalizer, Units, describe_characters, is_punctuation, read_units

KINDS = ("characters", "graphemes", "decomposed", "phones")
# Letters that compose, compose in two orders, change length in lower case, or join; punctuation; invisible characters.
TRICKY = "aeIıİΣσςßéạ\u0301\u0323\u0331\u0345ɛŋ각ᄀ가क्ष\u200c\u200d\u200b\ufeff\u00ad ’'‐-·.˥3\t\u2028"
texts = st.text(st.sampled_from(TRICKY) | st.characters(exclude_categories=["Cs"]), max_size=12)
normalizers = st.builds(
    Normalizer,
    lower=st.sampled_from([False, True, "turkic"]),
    strip_punctuation=st.booleans(),
    keep_inside_words=st.sampled_from(["", "'", "'-·"]),
)


def test_normaliser() -> None:
    normalize = Normalizer()
    assert normalize("\ufeffa\u200b  b\r\n\tc\u00ad ") == "a b c"
    assert normalize(unicodedata.normalize("NFD", "é ǹ")) == "é ǹ"
    assert normalize("Ab") == "Ab"
    assert normalize("म\u200dx\u200cy") == "म\u200dx\u200cy"
    assert normalize("e\u200b\u0301") == "é"


def test_lower_case_of_turkic_languages() -> None:
    assert Normalizer(lower=True)("İSTANBUL Ab") == unicodedata.normalize("NFC", "i̇stanbul ab")
    assert Normalizer(lower="turkic")("DIŞ İÇ I\u0307") == "dış iç i"


@pytest.mark.parametrize(
    ("keep", "text", "expected"),
    [
        ("'", "“Don’t!” she said—well-known dogs' 'n' 50% more.", "Don't she said well known dogs n 50 more"),
        ("'-", "well‐known: -5 rock-'n'-roll", "well-known 5 rock n roll"),
        ("", "l'homme, p.ex.", "l homme p ex"),
        ("·", "col·lecció · Sí", "col·lecció Sí"),
        ("'", "ma˥˧ ka\ua78ata ʔa ʼokina x^2", "ma˥˧ ka\ua78ata ʔa ʼokina x 2"),
        ("'", "¿qué? 「日本」。 ۔ كتاب،", "qué 日本 كتاب"),
    ],
)
def test_strip_punctuation(keep: str, text: str, expected: str) -> None:
    assert Normalizer(strip_punctuation=True, keep_inside_words=keep)(text) == expected


def test_final_sigma_is_that_of_the_stripped_word() -> None:
    assert Normalizer(strip_punctuation=True, lower=True, keep_inside_words="")("ΛΟΓΟΣ'ΑΣ") == "λογος ας"


@given(normalizers, texts)
def test_normalising_twice_changes_nothing_and_the_form_given_does_not_matter(normalize: Normalizer, text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert {normalize(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {once}
    if normalize.strip_punctuation:
        assert not {c for c in once if is_punctuation(c)} - set(normalize.keep_inside_words)


def test_the_normaliser_tells_its_steps() -> None:
    assert str(Normalizer()) == "NFC, white space collapsed"
    every = Normalizer(lower="turkic", strip_punctuation=True, keep_inside_words="'-")
    assert str(every) == (
        "NFC, white space collapsed, punctuation stripped except '- inside words, lower case (turkic)"
    )
    assert str(Normalizer(lower=True, strip_punctuation=True, keep_inside_words="")).endswith(
        "punctuation stripped, lower case"
    )


def test_units_round_trip_and_blank_is_0() -> None:
    units = Units.learn(["zwei", "eins", "ä b"])
    assert list(units.symbols) == sorted(set("zweieinsä b"))
    assert len(units) == len(units.symbols) + 1
    encoded = units.encode("zwei ä")
    assert 0 not in encoded
    assert units.decode(encoded) == "zwei ä"


@pytest.mark.parametrize(
    ("kind", "text", "symbols"),
    [
        ("characters", "bɛ́ é", [" ", "b", "é", "ɛ", "\u0301"]),
        ("graphemes", "bɛ́ é क्‍ष", [" ", "b", "é", "ɛ\u0301", "क्\u200d", "ष"]),
        ("decomposed", "bɛ́ é 각", [" ", "b", "e", "ɛ", "\u0301", "ᄀ", "ᅡ", "ᆨ"]),
        ("phones", "tʃ aː tʃ", ["aː", "tʃ"]),
    ],
)
def test_every_kind_of_unit(kind: str, text: str, symbols: list[str]) -> None:
    text = unicodedata.normalize("NFC", text)
    units = Units.learn([text], kind)
    assert sorted(units.symbols) == sorted(symbols)
    assert units.decode(units.encode(text)) == text


@given(st.sampled_from(KINDS), st.lists(texts, min_size=1))
def test_round_trip_of_learned_units(kind: str, corpus: list[str]) -> None:
    corpus = [Normalizer()(text) for text in corpus]
    if any(corpus):
        units = Units.learn(corpus, kind)
        for text in corpus:
            assert units.decode(units.encode(text)) == text


@given(st.sets(st.text("ngb", min_size=1, max_size=3), min_size=1), st.data())
def test_longest_units_first_and_ambiguities_against_brute_force(symbols: set[str], data: st.DataObject) -> None:
    units = Units(sorted(symbols))
    text = "".join(data.draw(st.lists(st.sampled_from(units.symbols), max_size=4)))
    if units.unknown(text):  # after the longest unit, no unit may fit
        return
    assert units.decode(units.encode(text)) == text
    position = 0
    for unit in units.split(text):
        assert unit == max((u for u in units.symbols if text.startswith(u, position)), key=len)
        position += len(unit)
    # A reading is a list of boundaries inside the text; a part is the text between two boundaries of all readings.
    readings = brute_force_readings(text, symbols)
    shared = sorted({0, len(text)} | set.intersection(*map(set, readings)))
    parts = itertools.pairwise(shared)
    expected = Counter(text[a:b] for a, b in parts if len({tuple(x for x in r if a < x < b) for r in readings}) > 1)
    assert units.ambiguities(text) == expected


def brute_force_readings(text: str, symbols: set[str]) -> list[tuple[int, ...]]:
    cuts = itertools.chain.from_iterable(
        itertools.combinations(range(1, len(text)), size) for size in range(max(len(text), 1))
    )
    return [
        cut for cut in cuts if all(text[a:b] in symbols for a, b in itertools.pairwise([0, *cut, len(text)]) if a < b)
    ]


def test_ambiguities_of_digraphs() -> None:
    units = Units(["n", "g", "ng", "gb", "b", "a", " "])
    assert units.split("anga ngba") == ["a", "ng", "a", " ", "ng", "b", "a"]
    assert units.ambiguities("anga ngba ng") == Counter({"ng": 2, "ngb": 1})
    assert units.ambiguities("a bag") == Counter()
    assert Units(["ng", "b", "gb"]).ambiguities("ngb") == Counter()
    assert Units(["ng", "b", "n"]).ambiguities("ngb") == Counter()


def test_tones_apart_from_their_vowels() -> None:
    units = Units(["gb", "ɛ", "a", "\u0300", "\u0301"], "decomposed")
    assert units.split("gbágbɛ̀") == ["gb", "a", "\u0301", "gb", "ɛ", "\u0300"]
    assert units.decode(units.encode("gbágbɛ̀")) == "gbágbɛ̀"


def test_unknown_units_are_named_by_code_point() -> None:
    with pytest.raises(TextError, match=r"'ß' \(U\+00DF, LATIN SMALL LETTER SHARP S\) 2 times"):
        Units("ab").encode("aßbß")
    assert Units(["ng", "a"]).unknown("ngagn") == Counter("gn")
    assert Units(["a"], "phones").unknown("a aː aː") == Counter({"aː": 2})
    assert describe_characters(Counter(["aː"])) == (
        "'aː' (U+0061 U+02D0, LATIN SMALL LETTER A + MODIFIER LETTER TRIANGULAR COLON) 1 time"
    )


def test_units_refuse_nothing_and_doubles() -> None:
    with pytest.raises(TextError, match="no characters"):
        Units.learn(["", ""])
    with pytest.raises(TextError, match="distinct"):
        Units("aa")


def test_units_file(tmp_path: Path) -> None:
    path = tmp_path / "units.txt"
    path.write_bytes("\ufeffng\r\ne\u0301 \r\nñ\r\n\r\n".encode())
    assert read_units(path) == ["ng", "é", "ñ"]
    assert read_units(path, "decomposed") == ["ng", "e\u0301", "n\u0303"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\nb\n", r"units\.txt:2: is empty"),
        (b"", r"units\.txt:1: is empty"),
        ("a\n\u200b\nb\n".encode(), r"units\.txt:2: is empty"),
        ("é\na\ne\u0301\n".encode(), r"units\.txt:3: 'é' repeats line 1; delete"),
        (b"a\nb c\nd\te\n", r"units\.txt:2: 'b c' holds white space.*\n.*units\.txt:3: 'd e' holds"),
        (b"a\n\xff\n", r"units\.txt:2: is not UTF-8 \(byte 2\)"),
        (None, r"units\.txt: cannot be read: No such file"),
    ],
)
def test_bad_units_files(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "units.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TextError, match=message):
        read_units(path)
