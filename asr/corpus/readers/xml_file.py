"""XML files from strangers: a tree whose elements know their lines, without entities, and of bounded depth."""

import re
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from asr.corpus.readers.files import SourceError

_FIRST = re.compile(r"<([A-Za-z][\w:.-]*)")
_MOST = 2_000_000  # elements; a hundred hours of speech have fewer
_DEEPEST = 100  # elements inside each other; the formats that are read here need about 15


class _Node(Element):
    """An element of XML, and the line on which it begins."""

    __slots__ = ("line",)
    line: int


def read_xml(path: Path, root: str, cure: str) -> Element:
    """Read an XML file. `cure` ends the messages.

    A document type is allowed, but it may not declare entities, since a few of these expand to gigabytes. Raises
    SourceError that names the file and the line, also if the root element is not called `root`.
    """
    parser = expat.ParserCreate()
    builder = TreeBuilder(element_factory=_Node)
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > _DEEPEST:
            raise ValueError(f"has more than {_DEEPEST} elements inside each other")
        if count > _MOST:
            raise ValueError(f"has more than {_MOST} elements")
        node = builder.start(tag, attributes)
        if isinstance(node, _Node):  # always: the factory makes it
            node.line = parser.CurrentLineNumber

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> NoReturn:
        raise ValueError("declares or uses an entity, which may expand to gigabytes")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = parser.SkippedEntityHandler = parser.ExternalEntityRefHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(path.read_bytes(), True)
        tree = builder.close()
    except expat.ExpatError as error:
        raise SourceError(
            f"{path}:{error.lineno}: is not sound XML ({expat.ErrorString(error.code)}); {cure}"
        ) from None
    except (ValueError, LookupError) as error:  # LookupError: an encoding that Python does not know
        raise SourceError(f"{path}:{parser.CurrentLineNumber}: {error}; {cure}") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None
    if tree.tag != root:
        raise SourceError(f"{path}: is XML with the root <{tree.tag[:40]}>, not <{root}>; {cure}")
    return tree


def line_of(element: Element) -> int:
    """Return the line on which an element of `read_xml` begins."""
    return element.line if isinstance(element, _Node) else 0


def begins_with_root(head: str, root: str, then: str = "") -> bool:
    """Return True if the beginning of a file is XML with this root element, and holds the text `then`."""
    first = _FIRST.search(head)
    return head.lstrip().startswith("<") and first is not None and first[1] == root and then in head
