"""NIST's markup of references as `sclite -D` reads it: alternatives `{ one / won / @ }`, optional `(%hesitation)`.

The hypothesis chooses the alternatives: sclite's alignment, in which a substitution costs 4, an insertion or deletion
3, is computed over all texts that the reference allows. An optional word that the hypothesis lacks counts as right.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from asr.errors import ManifestError

_SUBSTITUTION, _INSERTION, _DELETION = 4000, 3000, 3000  # costs of sclite's alignment, times 1000
_OPTIONAL_DELETION = 2999  # of two alignments of one cost, the one that leaves out more optional words
NOTHING = "@"  # an alternative without words
_MOST_NESTED = 20  # alternatives inside each other


class Choice(NamedTuple):
    """The text of a reference that a hypothesis chooses, and the positions of optional words that it lacks."""

    text: str
    left_out: tuple[int, ...] = ()


class _Arc(NamedTuple):
    source: int
    word: str  # empty for an alternative without words
    optional: bool


@dataclass
class _Graph:
    """The texts of a reference as a graph: nodes are numbered so that each arc leads to a higher node."""

    arcs: list[list[_Arc]] = field(default_factory=lambda: [[]])  # of each node, the arcs that lead to it

    def add(self, source: int, word: str, optional: bool = False) -> int:
        """Add an arc to a new node; return the node."""
        self.arcs.append([_Arc(source, word, optional)])
        return len(self.arcs) - 1


def has_markup(text: str, every_parenthesis: bool = False) -> bool:
    """Return True if a text holds alternatives or optional words.

    Words in parentheses are optional if they begin with `%`; in STM and trn (`every_parenthesis`) all of them are.
    """
    return "{" in text or "}" in text or any(_optional(word, every_parenthesis) for word in text.split())


def choose(
    reference: str, hypothesis: str, normalizer: Callable[[str], str], every_parenthesis: bool = False
) -> Choice:
    """Return the text of a reference that is nearest to a normalised hypothesis; all words are normalised.

    Raises ManifestError for braces that do not match, and for an empty alternative.
    """
    graph = _Graph()
    tokens = iter(re.findall(r"[{}]|[^\s{}]+", reference))
    end = _add_words(graph, 0, tokens, normalizer, every_parenthesis)
    return _nearest(graph, end, hypothesis.split())


def _optional(word: str, every_parenthesis: bool) -> bool:
    return re.fullmatch(r"\([^\s()]+\)" if every_parenthesis else r"\(%[^\s()]+\)", word) is not None


def without_parentheses(text: str, every_parenthesis: bool = False) -> str:
    """Return a hypothesis without the marks of optional words. Raises ManifestError for alternatives."""
    if re.search(r"\{[^{}]*/[^{}]*\}", text):
        raise ManifestError("holds alternatives in braces, which only a reference may have; keep one of them")
    return " ".join(word[1:-1] if _optional(word, every_parenthesis) else word for word in text.split())


def _add_words(
    graph: _Graph, node: int, tokens: Iterator[str], normalizer: Callable[[str], str], every_parenthesis: bool
) -> int:
    for token in tokens:
        if token == "}":
            raise ManifestError("has a } without a {; write alternatives as { one / won / @ }")
        if token == "{":
            node = _add_alternatives(graph, node, tokens, normalizer, every_parenthesis, 1)
        elif token != NOTHING or not every_parenthesis:
            node = _add_word(graph, node, token, normalizer, every_parenthesis)
    return node


def _add_word(graph: _Graph, node: int, token: str, normalizer: Callable[[str], str], every_parenthesis: bool) -> int:
    optional = _optional(token, every_parenthesis)
    for word in normalizer(token[1:-1] if optional else token).split():
        node = graph.add(node, word, optional)
    return node


def _add_alternatives(
    graph: _Graph,
    start: int,
    tokens: Iterator[str],
    normalizer: Callable[[str], str],
    every_parenthesis: bool,
    depth: int,
) -> int:
    if depth > _MOST_NESTED:
        raise ManifestError(f"nests alternatives more than {_MOST_NESTED} deep; write them out")
    ends: list[int] = []
    node, empty = start, True
    for token in tokens:
        if token == "{":
            node = _add_alternatives(graph, node, tokens, normalizer, every_parenthesis, depth + 1)
            empty = False
            continue
        for part in re.findall(r"/|[^/]+", token) if token != "}" else [token]:
            if part in ("/", "}"):
                if empty:
                    raise ManifestError("has an empty alternative; write @ for no word: { uh / @ }")
                ends.append(node)
                node, empty = start, True
            else:
                empty = False
                if part != NOTHING:
                    node = _add_word(graph, node, part, normalizer, every_parenthesis)
        if token == "}":
            graph.arcs.append([_Arc(end, "", False) for end in dict.fromkeys(ends)])
            return len(graph.arcs) - 1
    raise ManifestError("has a { without a }; write alternatives as { one / won / @ }")


def _nearest(graph: _Graph, end: int, hypothesis: list[str]) -> Choice:
    """Find the path from node 0 to `end` with the cheapest alignment; of equal paths, the one written first."""
    columns = range(len(hypothesis) + 1)
    costs = [[_INSERTION * column for column in columns]]
    steps: list[list[tuple[_Arc | None, int]]] = [[(None, column - 1) for column in columns]]  # arc, column before
    for arcs in graph.arcs[1:]:
        cost: list[int] = []
        step: list[tuple[_Arc | None, int]] = []
        for column in columns:
            options: list[tuple[int, _Arc | None, int]] = []
            for arc in arcs:
                before = costs[arc.source]
                if column and arc.word:
                    wrong = arc.word != hypothesis[column - 1]
                    options.append((before[column - 1] + _SUBSTITUTION * wrong, arc, column - 1))
                deletion = _OPTIONAL_DELETION if arc.optional else _DELETION
                options.append((before[column] + (deletion if arc.word else 0), arc, column))
            if column:
                options.append((cost[column - 1] + _INSERTION, None, column - 1))
            best = min(options, key=lambda option: option[0])
            cost.append(best[0])
            step.append(best[1:])
        costs.append(cost)
        steps.append(step)
    path: list[tuple[str, bool]] = []  # words, last first, each with True if the hypothesis leaves it out
    node, column = end, len(hypothesis)
    while node:
        taken, before_column = steps[node][column]
        if taken is not None:
            if taken.word:
                path.append((taken.word, taken.optional and before_column == column))
            node = taken.source
        column = before_column
    path.reverse()
    left_out = tuple(index for index, (_, missing) in enumerate(path) if missing)
    return Choice(" ".join(word for word, _ in path), left_out)
