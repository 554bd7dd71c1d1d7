"""The marks of CHAT in a main line -> the words that were spoken. `docs/prepare.md` lists the rules."""

import re
from collections import Counter

_MOST_REPEATED = 20  # times that `[x 20]` may repeat a word
_MOST_LETTERS = 100_000  # letters of a line after repetitions, which may repeat each other

_UNTRANSCRIBED = {
    "xxx": "unintelligible speech (xxx)",
    "xx": "unintelligible speech (xxx)",
    "yyy": "speech without spelling (yyy)",
    "yy": "speech without spelling (yyy)",
    "www": "speech that is not transcribed (www)",
}
_TOKEN = re.compile(
    r"""
      (?P<repeat>\[x\s+(?P<times>\d{1,9})\])      # the word or group before it is repeated
    | (?P<code>\[[^\[\]]*\])                      # every other code in square brackets
    | (?P<long>&[{}][nl]=[^\s\[\]<>]*)            # begin and end of a long event
    | (?P<event>&=[^\s\[\]<>]*)                   # an event without speech
    | (?P<other>&\*[^\s\[\]<>]*)                  # a word of another speaker
    | (?P<pause>\(\.{1,3}\)|\(\d[\d:.]{0,8}\))    # a pause
    | (?P<end>\+(?:\.\.\.|/\.|//\.|!\?|"/\.|"\.|\.\.\?|/\?|//\?|/!|\.|,|<|\^|"|\+|≈|≋))   # ends, and links to a line
    | (?P<open><)
    | (?P<close>>)
    | (?P<word>[^\s\[\]<>]+)
    """,
    re.VERBOSE,
)
_SYMBOLS = re.compile("[↑↓⌈⌉⌊⌋↗↘→∆∇⁎⁇°◉▁▔☺♋Ϋ∬ˈˌ≠∾↻⁑⤇∙§∮‹›\x00-\x08\x0b-\x1f]")  # stress, pitch, overlap, voice
_PUNCTUATION = (".", "?", "!", ",", ";", ":", "‡", "„")


class NotTranscribed(Exception):
    """A line holds speech that its text does not give; the message says which."""


def spoken(line: str, left_out: Counter[str]) -> str:
    """Return the words of a main line that were spoken, and count in `left_out` the marks that were left out.

    Raises NotTranscribed for a line whose text is not complete, such as one with `xxx`.
    """
    words: list[str] = []
    groups: list[int] = []  # where the groups in <…> begin that are open
    last = 0  # where the word or group begins that a repetition repeats
    for match in _TOKEN.finditer(line):
        kind, text = match.lastgroup, match[0]
        if kind == "repeat":
            times = int(match["times"])
            if times > _MOST_REPEATED or times * sum(map(len, words)) > _MOST_LETTERS:
                raise NotTranscribed(f"words that are repeated {times} times")
            words += words[last:] * (times - 1)
        elif kind == "open":
            groups.append(len(words))
        elif kind == "close":
            last = groups.pop() if groups else len(words)
        elif kind == "word":
            last = len(words)
            if text in _PUNCTUATION:
                if words and text not in ("‡", "„"):
                    words[-1] += text
                continue
            if word := _word(text, left_out):
                words.append(word)
        elif kind is not None:
            left_out[_name(kind, text)] += 1
    return " ".join(words)


def _word(text: str, left_out: Counter[str]) -> str:
    """Return a word as it was spoken; "" for an omitted word or a fragment."""
    text = _SYMBOLS.sub("", text).strip('"“”')
    bare = re.sub(r"@.*|[.,?!]$", "", text)
    if bare in _UNTRANSCRIBED:
        raise NotTranscribed(_UNTRANSCRIBED[bare])
    if re.match(r"&[-~+]", text):
        if text[1] != "-":
            left_out["fragments &+ and &~"] += 1
            return ""
        text = text[2:]
    elif text.startswith("&"):
        left_out["fragments &+ and &~"] += 1
        return ""
    if re.match(r"0[^\W\d]|0$", text):
        left_out["omitted words 0"] += 1
        return ""
    if "(" in text:
        left_out["letters in parentheses, which were not spoken"] += 1
        text = re.sub(r"\([^()]*\)", "", text)
    text = re.sub(r"@[\w:&+$-]*", "", text)  # word@s:spa
    text = re.sub(r"(?<=[^\W\d]):+", "", text)  # a long sound
    return text.replace("^", "").replace("+", "").replace("_", " ")


def _name(kind: str, text: str) -> str:
    """Return the name under which a mark is counted."""
    if kind == "code":
        inside = text[1:-1].strip()
        return f"[{inside.split()[0]} …]" if " " in inside else f"[{inside[:20]}]"
    names = {"pause": "pauses (.)", "end": "ends and links +…", "other": "words of another speaker &*"}
    return names.get(kind, text[:20])
