"""Rules for texts, found in real and made-up texts of many spellings."""

import csv
from pathlib import Path

import pytest

from asr.config import TextConfig
from asr.corpus.text_rules import find_rules

AS_IS = (False, False, None)


def found(texts: list[str]) -> tuple[object, object, object]:
    """Return lower, strip_punctuation and keep_inside_words."""
    rules = {rule.setting: rule.value for rule in find_rules(texts)}
    return rules["lower"], rules["strip_punctuation"], rules.get("keep_inside_words")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["0 1 1 0", "1984"], AS_IS),
        (["HELLO WORLD", "IT IS"], AS_IS),  # as in LibriSpeech
        (["Hello there", "hello There", "HELLO there"], (True, False, None)),
        (["Ilık bir gün.", "Işık söndü.", "İzmir güzel."], ("turkic", True, "'")),
        (["Tá an tSeachtain fada", "i nGaeilge", "Chuaigh Seán", "bhí Máire", "Is breá"], (True, False, None)),
        (["wAlSAlH", "kAn AlrjlH", "SAlH wAl"], AS_IS),  # Buckwalter's letters for Arabic
        (["a well-known na-ka man", "ta-ku it is."], (False, True, "'-")),
        (["don't go!", "I can't, no."], (True, True, "'")),
        (["l'home, col·lecció", "el pa."], (False, True, "'·")),
        (["'o ia ke ali'i.", "ua hele 'o kimo.", "he 'ilio 'oia"], AS_IS),  # Hawaiian: a glottal stop, not a quote
        (["k'o jun q'ij.", "xub'ij rech'", "are k' taj'", "utz'"], AS_IS),  # Kʼicheʼ: ejectives at the end of words
        (["!nara ge", "!khom na", "!gâ ǂnu."], AS_IS),  # Khoekhoe: clicks
        (["he said 'yes' and 'no' to 'it'."], (False, True, "'")),
        (["שלום, עולם.", "צה״ל בא.", "מה זה? ג׳ירפה", "בית־ספר"], (False, True, "'־׳״")),
        (["مرحبا، يا عالم.", "كيف حالك؟"], (False, True, "'")),
        (["你好，世界。", "我们走吧。"], (False, True, "'")),  # marks between letters are no letters here
        (["a(h)i", "no"], (False, True, "'")),
        ([""], AS_IS),
    ],
)  # fmt: skip
def test_rules_of_many_spellings(texts: list[str], expected: tuple[object, object, object]) -> None:
    assert found(texts) == expected


def test_rules_of_real_texts(corpora: Path) -> None:
    cherokee = list(csv.DictReader((corpora / "cherokee/metadata.csv").open(encoding="utf-8")))
    assert found([row["text"] for row in cherokee]) == (True, True, "':")
    spelled = [row["text"] for row in cherokee if row["set"] == "cno"]
    assert found(spelled)[2] == "':"  # the colon is the length of a vowel, whether or not there are other marks
    lines = (corpora / "ljspeech/LJSpeech-1.1/metadata.csv").read_text(encoding="utf-8").splitlines()
    assert found([line.split("|")[2] for line in lines]) == (True, True, "'-")
    texts = {suffix: [path.read_text(encoding="utf-8") for path in (corpora / "mboshi").rglob(f"*{suffix}")]
             for suffix in (".mb.cleaned", ".mb", ".fr")}  # fmt: skip
    assert found(texts[".mb.cleaned"]) == AS_IS
    assert found(texts[".mb"]) == (True, False, None)  # 5 % of the words end with an apostrophe
    assert found(texts[".fr"]) == (True, True, "'-")


def test_what_is_not_sure_says_so_and_every_value_is_a_setting() -> None:
    for texts in (["'o ia", "'o kimo", "'oia"], ["wAlSAlH kAn AlrjlH"], ["안녕하세요"], ["Ja, gut-gut."]):
        rules = find_rules(texts)
        TextConfig.model_validate({rule.setting: rule.value for rule in rules})
        unsure = [rule.setting for rule in rules if rule.reason.startswith("not sure")]
        assert unsure == {"'o ia": ["strip_punctuation"], "wAlSAlH kAn AlrjlH": ["lower"]}.get(texts[0], [])
    assert find_rules(["안녕하세요"])[-1].value == "decomposed"
