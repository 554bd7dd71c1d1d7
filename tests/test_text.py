import unicodedata

import pytest

from asr.errors import TextError
from asr.text import Normalizer, Units


def test_normaliser() -> None:
    normalize = Normalizer()
    assert normalize("\ufeffa\u200b  b\r\n\tc\u00ad ") == "a b c"
    assert normalize(unicodedata.normalize("NFD", "é ǹ")) == "é ǹ"
    assert normalize("Ab") == "Ab"
    assert Normalizer(lower=True)("İSTANBUL Ab") == unicodedata.normalize("NFC", "i̇stanbul ab")
    assert normalize(normalize("x\u200b y")) == normalize("x\u200b y")


def test_units_round_trip_and_blank_is_0() -> None:
    units = Units.learn(["zwei", "eins", "ä b"])
    assert list(units.symbols) == sorted(set("zweieinsä b"))
    assert len(units) == len(units.symbols) + 1
    encoded = units.encode("zwei ä")
    assert 0 not in encoded
    assert units.decode(encoded) == "zwei ä"


def test_unknown_characters_are_named_by_code_point() -> None:
    with pytest.raises(TextError, match=r"'ß' \(U\+00DF, LATIN SMALL LETTER SHARP S\) 2 times"):
        Units("ab").encode("aßbß")


def test_units_refuse_nothing_and_doubles() -> None:
    with pytest.raises(TextError, match="no characters"):
        Units.learn(["", ""])
    with pytest.raises(TextError, match="distinct"):
        Units("aa")
