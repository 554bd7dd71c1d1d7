"""Counts in messages: the words that fit one, and the words that fit other numbers."""

import re

_CHOICE = re.compile(r"<(?:([^<>|]*)\|)?([^<>|]*)>")


def counted(text: str, count: int) -> str:
    """Put a count in the place of `{}`, and choose the words that fit it.

    `<one|several>` becomes the words for 1 or for another count, and `<s>` is short for `<|s>`:
    `{} line<s> repeat<s|> a recording`. The text is a template of the program; names and texts of users are added
    after the call.
    """
    chosen = _CHOICE.sub(lambda match: (match[1] or "") if count == 1 else match[2], text)
    return chosen.replace("{}", str(count))
