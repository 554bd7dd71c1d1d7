"""Hotwords: words and phrases that the user expects, favoured in the beam search.

A hotword of weight w multiplies the odds of every text that contains it by exp(w). The beam would drop a rare name
before its end. So a prefix is lent part of the weight, in proportion to the units of the hotword that it has spelled,
and loses it where the text continues differently. One automaton follows all hotwords at once (Aho and Corasick 1975,
"Efficient string matching"). In it a hotword begins and ends with a space, so only whole words match. If the units have
no space, a hotword matches anywhere.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asr.errors import TextError, raise_problems
from asr.files import named_lines
from asr.text import Units

MOST_ENTRIES = 1 << 26  # entries of the automaton's table, nodes times units; each takes 4 bytes
WEIGHT = 6.0  # nats, if the file gives no weight


class Hotwords(NamedTuple):
    """The automaton in the form that the compiled search takes."""

    follow: np.ndarray  # (nodes, V) int32, the node after one unit more
    gain: np.ndarray  # (nodes,) nats earned on reaching a node at which hotwords end
    credit: np.ndarray  # (nodes,) nats lent to a prefix at a node
    begin: int  # node of the empty prefix
    step: float  # nats that one unit can add, at most


def build_hotwords(weights: Mapping[tuple[int, ...], float], units: Units) -> Hotwords:
    """Build the automaton of hotwords, given in units, with their weights in nats of 0 or more.

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
    back = [0] * len(edges)  # node of the longest proper suffix that begins a hotword
    nodes = [0]
    for node in nodes:  # breadth first, so `back[node]` is finished
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
    """Read one word or phrase from each line of a file, or of a list; a weight in nats may follow after a tab.

    Returns the weight of each spelling. Raises TextError that lists every line with a word that the units cannot spell,
    or with a wrong weight.
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
