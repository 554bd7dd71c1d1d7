"""Distance of our word times to those of another source, for alignment of the given text and for transcripts.

    python bench/word_times.py MODEL TIMES MANIFEST...

TIMES is a table with tabs and the columns utterance, start, end (in seconds) and word; `bench/spaced_words.py` writes
one whose times are exact. Words are compared without case and accents, and matched by edit distance. An utterance is
left out if TIMES does not hold the words of its text.

Prints JSON lines for each task and border: all words, those beside another word, and those beside a pause in TIMES. In
milliseconds: `median` and `p90` of the distance, `bias` (the median of our time minus the time in TIMES: positive is
late), and `spread`, the median distance without the bias. Then the shares of distances within 20, 50 and 100 ms.
"""

import argparse
import csv
import json
import math
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein

from asr.audio import load_audio
from asr.corpus.manifest import read_manifest
from asr.recognition.align import align
from asr.recognition.recognizer import load
from asr.transcript import Word
from asr.utterance import Utterance

WITHIN = (20, 50, 100)  # milliseconds
PAUSE = 0.02  # seconds; a shorter gap between two words in TIMES is rounding
SILENCE = "XSIL"  # marks a pause in the table of Mboshi's authors


class Timed(NamedTuple):
    """A word of TIMES: its start and end in seconds, and the pauses before and after it."""

    text: str
    start: float
    end: float
    before: float
    after: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("times", type=Path)
    parser.add_argument("manifests", type=Path, nargs="+", metavar="manifest")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recognizer = load(arguments.model, "cpu")
    rate = recognizer.sample_rate
    times = read_times(arguments.times)
    utterances = [utterance for path in arguments.manifests for utterance in read_manifest(path)]
    kept = [utterance for utterance in utterances if fold_all(utterance) == [w.text for w in times[utterance.id]]]

    def samples(utterance: Utterance) -> tuple[int, np.ndarray]:
        return rate, load_audio(utterance.audio, rate, offset=utterance.offset, duration=utterance.duration)

    tasks: dict[str, Callable[[Utterance], Sequence[Word]]] = {
        "align": lambda one: align(recognizer, samples(one), one.text or "").transcript.words,
        "transcribe": lambda one: recognizer.transcribe(samples(one)).words,
    }
    for task, words_of in tasks.items():
        pairs = [pair for one in kept for pair in matched(words_of(one), times[one.id])]
        for border, pause in (("start", "before"), ("end", "after")):
            late = np.array([1000 * (getattr(ours, border) - getattr(theirs, border)) for ours, theirs in pairs])
            beside_pause = np.array([getattr(theirs, pause) > PAUSE for _, theirs in pairs], bool)
            for beside, chosen in (("any", late), ("word", late[~beside_pause]), ("pause", late[beside_pause])):
                if len(chosen):
                    result = {"task": task, "border": border, "beside": beside, **distances(chosen)}
                    print(json.dumps(result), flush=True)
    print(json.dumps({"utterances": len(kept), "left_out": len(utterances) - len(kept)}))


def read_times(path: Path) -> dict[str, list[Timed]]:
    """Read TIMES: the words of each utterance, without silences."""
    rows: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["word"] != SILENCE:
                rows[row["utterance"]].append((fold(row["word"]), float(row["start"]), float(row["end"])))
    times: dict[str, list[Timed]] = defaultdict(list)
    for utterance, words in rows.items():
        ends = [-math.inf, *(end for _, _, end in words)]
        starts = [*(start for _, start, _ in words[1:]), math.inf]
        for (text, start, end), before, after in zip(words, ends, starts, strict=False):
            times[utterance].append(Timed(text, start, end, start - before, after - end))
    return times


def fold(word: str) -> str:
    """Return a word in lower case without accents."""
    letters = unicodedata.normalize("NFD", word.lower())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def fold_all(utterance: Utterance) -> list[str]:
    return [fold(word) for word in (utterance.text or "").split()]


def matched(ours: Sequence[Word], theirs: Sequence[Timed]) -> Iterable[tuple[Word, Timed]]:
    """Yield pairs of equal words, matched by edit distance."""
    for step in Levenshtein.opcodes([fold(word.text) for word in ours], [word.text for word in theirs]):
        if step.tag == "equal":
            yield from zip(ours[step.src_start : step.src_end], theirs[step.dest_start : step.dest_end], strict=True)


def distances(differences: np.ndarray) -> dict[str, float]:
    """Summarise differences `(words,)` in milliseconds."""
    absolute = np.abs(differences)
    return {
        "words": len(absolute),
        "median": round(float(np.median(absolute)), 1),
        "p90": round(float(np.percentile(absolute, 90)), 1),
        "bias": round(float(np.median(differences)), 1),
        "spread": round(float(np.median(np.abs(differences - np.median(differences)))), 1),
        **{f"within_{limit}": round(float((absolute <= limit).mean()), 3) for limit in WITHIN},
    }


if __name__ == "__main__":
    main()
