"""Speed of estimating a word 4-gram model of a million words and writing it as ARPA: ours, and KenLM's lmplz if found.

Prints one JSON line. The text is from LJ Speech, if $ASR_CORPORA (or ../shared/corpora) has it, made longer by joining
halves of its lines; otherwise it is random words with Zipf's frequencies. Both programs take turns; each reads a file
and writes another.
"""

import json
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path
from timeit import timeit

from asr.corpus.sentences import read_sentences
from asr.lm.arpa import read_arpa, write_arpa
from asr.lm.estimate import estimate
from asr.text import Normalizer

WORDS, ORDER, TURNS = 1_000_000, 4, 3


def main() -> None:
    corpora = Path(os.environ.get("ASR_CORPORA") or Path(__file__).parents[2] / "shared" / "corpora")
    source = corpora / "text" / "ljspeech_other_lines.txt"
    normalizer = Normalizer(lower=True)
    with tempfile.TemporaryDirectory() as folder:
        text, ours, theirs = (Path(folder) / name for name in ("text.txt", "ours.arpa", "theirs.arpa"))
        text.write_text("\n".join(crossed(list(read_sentences([source], normalizer))) if source.is_file() else zipf()))

        def with_asr() -> None:
            write_arpa(ours, estimate(read_sentences([text], normalizer), order=ORDER).model)

        def with_lmplz() -> None:
            # Half lines occur several times; lmplz refuses such counts without the last option.
            options = ["-S", "1G", "-T", folder, "--discount_fallback"]
            command = ["lmplz", "-o", str(ORDER), "--text", str(text), "--arpa", str(theirs), *options]
            subprocess.run(command, check=True, capture_output=True)

        programs = {"asr": with_asr} | ({"lmplz": with_lmplz} if shutil.which("lmplz") else {})
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(TURNS):  # the first turn also compiles
            for name, program in programs.items():
                seconds[name].append(timeit(program, number=1))
        result = {
            "bench": "lm",
            "text": source.name if source.is_file() else "Zipf",
            "words": WORDS,
            "n_grams": [len(level.token) for level in read_arpa(ours).levels],
            "seconds": {name: round(min(times), 2) for name, times in seconds.items()},
            "seconds_to_read": round(timeit(lambda: read_arpa(ours), number=1), 2),
        }
    print(json.dumps(result))


def crossed(lines: list[str]) -> list[str]:
    """Join first and second halves of random lines into sentences, `WORDS` words in all."""
    generator = random.Random(0)
    halves = [line.split() for line in lines]
    sentences, left = [], WORDS
    while left > 0:
        first, second = generator.choices(halves, k=2)
        words = (first[: len(first) // 2] + second[len(second) // 2 :])[:left]
        sentences.append(" ".join(words))
        left -= len(words)
    return sentences


def zipf() -> list[str]:
    """Draw sentences of 20 words; the word of rank r has the frequency 1 / r."""
    vocabulary = [f"w{rank}" for rank in range(1, 50_001)]
    frequencies = [1 / rank for rank in range(1, 50_001)]
    words = random.Random(0).choices(vocabulary, frequencies, k=WORDS)
    return [" ".join(words[start : start + 20]) for start in range(0, WORDS, 20)]


if __name__ == "__main__":
    main()
