"""Whether an output file that is there already is whole."""

import codecs
import json
from pathlib import Path
from xml.etree import ElementTree

_MAY_BE_EMPTY = ("txt", "jsonl", "srt", "ctm")  # where nothing is said


def is_whole(path: Path, name: str) -> bool:
    """Return False for a file of a format that was cut: empty, with NUL bytes, or not parsed as JSON or XML.

    A text that ends early at a line cannot be told from one that was edited, and counts as whole.
    """
    try:
        content = path.read_bytes()
        if name in ("json", "jsonl"):
            for part in [content] if name == "json" else filter(None, content.split(b"\n")):
                json.loads(part)
        elif name == "eaf":
            ElementTree.fromstring(content)
        elif name == "TextGrid" and content[:2] in (codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE):  # Praat wrote it
            return True
    except (OSError, ValueError, LookupError, RecursionError, ElementTree.ParseError):
        return False
    return b"\0" not in content and (bool(content) or name in _MAY_BE_EMPTY)
