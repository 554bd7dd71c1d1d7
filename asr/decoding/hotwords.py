"""Hotwords: words and phrases that a user expects, favoured in the beam.

A hotword of weight w multiplies the odds of every text that holds it by exp(w). The beam would drop a rare name before
its end, so part of the weight is lent while it is spelled, in proportion to the units that stand, and taken back where
the text goes on differently. All hotwords are followed at once by one automaton (Aho and Corasick 1975, "Efficient
string matching"), in which a hotword begins and ends with a space, so that it is found as a whole word only; where the
units have no space it is found everywhere.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asr.errors import TextError, raise_problems
from asr.files import named_lines
from asr.text import Units

MOST_ENTRIES = 1 << 26  # of the automaton's table, nodes times units; each takes 4 bytes
WEIGHT = 6.0  # nats, where the file gives none


class Hotwords(NamedTuple):
    """The automaton as the compiled search takes it."""

    follow: np.ndarray  # (nodes, V) int32, the node after one unit more
    gain: np.ndarray  # (nodes,) nats earned on coming to a node, where hotwords end
    credit: np.ndarray  # (nodes,) nats lent as long as a prefix is there
    begin: int  # the node of the empty prefix
    step: float  # the most that one unit can add


def build_hotwords(weights: Mapping[tuple[int, ...], float], units: Units) -> Hotwords:
    """Build the automaton of hotwords, given in units with their weights in nats, none of them negative.

    Raises TextError for hotwords of so many units that their table would not fit in memory.
    """
    letters = sum(map(len, weights))
    if (letters + 2 * len(weights) + 1) * len(units) > MOST_ENTRIES:
        raise TextError(
            f"the {len(weights)} hotwords have {letters} units in all; with {len(units)} units in the model "
            f"there may be {MOST_ENTRIES // len(units)}; leave words out"
        )
    space = units.encode(" ") if " " in units.symbols else []
    edges: list[dict[int, int]] = [{}]
    gain, credit = [0.0], [0.0]

    def grow(node: int, unit: int) -> int:
        if unit not in edges[node]:
            edges[node][unit] = len(edges)
            edges.append({})
            gain.append(0.0)
            credit.append(0.0)
        return edges[node][unit]

    begin = grow(0, space[0]) if space else 0
    for spelling, weight in weights.items():
        node = begin
        for count, unit in enumerate(spelling, start=1):
            node = grow(node, unit)
            if space or count < len(spelling):
                credit[node] = max(credit[node], weight * count / len(spelling))
        if space:
            node = grow(node, space[0])
        gain[node] += weight

    follow = np.zeros((len(edges), len(units)), np.int32)
    back = [0] * len(edges)  # the node of the longest end of what was read that may begin a hotword
    nodes = [0]
    for node in nodes:  # breadth first: the node to go back to is finished before
        follow[node] = follow[back[node]]
        gain[node] += gain[back[node]]
        credit[node] = max(credit[node], credit[back[node]])
        for unit, child in edges[node].items():
            back[child] = int(follow[node, unit])
            follow[node, unit] = child
            nodes.append(child)
    gains, credits = np.array(gain), np.array(credit)
    step = float(((gains + credits)[follow] - credits[:, None]).max())
    return Hotwords(follow, gains, credits, begin, step)


def no_hotwords(units: Units) -> Hotwords:
    return build_hotwords({}, units)


def read_hotwords(
    source: str | Path | Sequence[str], units: Units, normalizer: Callable[[str], str]
) -> dict[tuple[int, ...], float]:
    """Reads one word or phrase a line, with its weight in nats after a tab if it has one: spellings and weights.

    Raises TextError that lists every line with a word the units cannot spell or a weight that is none.
    """
    found: dict[tuple[int, ...], float] = {}
    problems = []
    path, lines = named_lines(source, "hotwords", TextError)
    for number, line in enumerate(lines, start=1):
        text, _, value = line.partition("\t")
        if not (text := normalizer(text)):
            continue
        try:
            weight = require_weight(value.strip()) if value.strip() else WEIGHT
            found[tuple(units.encode(text))] = weight
        except TextError as error:
            problems.append(f"{path}:{number}: {error}")
    raise_problems(problems, TextError)
    if not found:
        raise TextError(f"{path}: holds no hotwords; give one word or phrase a line, a weight after a tab")
    return found


def require_weight(value: str | float) -> float:
    """Return a weight in nats. Raises TextError unless it is a finite number of 0 or more."""
    try:
        weight = float(value)
    except ValueError:
        weight = math.nan
    if not 0.0 <= weight < math.inf:
        raise TextError(f"{value!r} is no weight; give a number from 0 (no effect) to 20 (nearly certain)")
    return weight
