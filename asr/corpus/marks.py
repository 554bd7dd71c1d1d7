"""Texts that stand for silence or noise, such as `sil` and `<p:>`: named, and left out on request."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_WORDS = frozenset(
    ["sil", "sp", "spn", "nsn", "pau", "pause", "silence", "noise", "breath", "laughter", "xxx", "xx", "h#", "<p:>"]
)
_BRACKETED = re.compile(r"<[^<>]{0,20}>|\[[^\[\]]{0,20}\]|\([^()]{0,20}\)|\{[^{}]{0,20}\}|\*[^*]{0,20}\*")


def marks(texts: Iterable[str]) -> Counter[str]:
    """Count the texts that look like marks: usual names, one word in brackets, and texts without letters or digits."""
    counts = Counter(text.strip() for text in texts)
    return Counter({text: count for text, count in counts.items() if text and _is_mark(text)})


def _is_mark(text: str) -> bool:
    if text.casefold() in _WORDS or _BRACKETED.fullmatch(text):
        return True
    return not any(unicodedata.category(character)[0] in "LMN" for character in text)
