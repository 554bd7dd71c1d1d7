"""Estimated n-gram models against a slow version written from the equations."""

import itertools
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracles import SlowNGram

from asr.errors import LanguageModelError
from asr.lm import estimate as estimation
from asr.lm.arpa import read_arpa
from asr.lm.estimate import estimate
from asr.lm.ngram import BEGIN, Kind, NGram, advance, split_tokens


def random_text(seed: int, sentences: int, words: str = "abcdefghijklmnop") -> list[str]:
    """Sentences of words with Zipf's frequencies, each prone to be followed by the next letter."""
    generator = random.Random(seed)
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    lines = []
    for _ in range(sentences):
        line = generator.choices(words, weights, k=generator.randint(1, 9))
        for place in range(1, len(line)):
            if generator.random() < 0.5:
                line[place] = words[(words.index(line[place - 1]) + 1) % len(words)]
        lines.append(" ".join(line))
    return lines


def log_prob(model: NGram, history: tuple[str, ...], token: str) -> float:
    state = model.start if history[:1] == ("<s>",) else model.empty
    for index in model.encode(history[history[:1] == ("<s>",) :]):
        state = advance(model.tables, state, index)[1]
    return float(advance(model.tables, state, model.encode([token])[0])[0])


@pytest.mark.parametrize(
    ("sentences", "order", "units", "prune", "methods"),
    [
        (300, 3, "words", (0,), "WMM"),
        (300, 3, "words", (0, 1, 2), "WMM"),
        (60, 4, "characters", (0, 0, 1), "W11M"),
        (12, 4, "words", (0,), "MM1M"),
        (5, 4, "words", (0, 1), "111W"),
        (300, 1, "words", (0,), "W"),
        (1, 5, "words", (0,), "WWWWW"),
    ],
)
def test_equals_the_slow_implementation(
    sentences: int, order: int, units: Kind, prune: tuple[int, ...], methods: str
) -> None:
    """Every token after every history of every length, known and unknown, in every method of smoothing."""
    text = random_text(sentences, sentences, "abcdefgh")
    found = estimate(text, order=order, units=units, prune=prune)
    slow = SlowNGram([split_tokens(line, units) for line in text], order, [*prune, *[prune[-1]] * order])
    assert "".join({"m": "M", "K": "1", "W": "W"}[line.split(": ")[1][0]] for line in found.smoothing) == methods
    assert set(found.model.vocabulary) == slow.events | {"<s>"}
    histories = [h for n in range(min(order, 3)) for h in itertools.product(sorted(slow.events), repeat=n)]
    histories = random.Random(0).sample(histories, min(len(histories), 30)) + sorted({n[:-1] for n in slow.seen})[::9]
    for history in histories:
        for token in slow.events:
            assert log_prob(found.model, history, token) == pytest.approx(math.log(slow.prob(history, token)), abs=2e-5)


@pytest.mark.parametrize("prune", [(0,), (0, 0, 1, 1), (0, 2)])
@pytest.mark.parametrize("units", ["words", "characters"])
@pytest.mark.parametrize("sentences", [2, 50, 400])
def test_probabilities_sum_to_1_after_every_history(sentences: int, units: Kind, prune: tuple[int, ...]) -> None:
    model = estimate(random_text(1, sentences), units=units, prune=prune).model
    states = np.flatnonzero(np.diff(model.tables.first))  # all histories with something after them
    tokens = [token for token in range(len(model.vocabulary)) if token != BEGIN]
    for state in states:
        total = sum(math.exp(advance(model.tables, state, token)[0]) for token in tokens)
        assert total == pytest.approx(1, abs=1e-5)


def test_chunks_do_not_change_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    text = random_text(3, 100)
    whole = estimate(text).model
    monkeypatch.setattr(estimation, "_CHUNK", 7)
    parts = estimate(text).model
    for a, b in zip(whole.tables, parts.tables, strict=True):
        assert (a == b).all()


def test_pruning_shrinks_and_keeps_short_n_grams() -> None:
    text = random_text(4, 300)
    models = [estimate(text, prune=prune).model for prune in ((0,), (0, 0, 1), (0, 0, 1, 9))]
    sizes = [[len(level.token) for level in model.levels] for model in models]
    assert [size[:2] for size in sizes] == [sizes[0][:2]] * 3
    assert sizes[0][2] > sizes[1][2] == sizes[2][2] and sizes[0][3] > sizes[1][3] > sizes[2][3]
    assert estimate(text, prune=(0, 10**6)).model.order == 1


def test_a_longer_history_helps_and_nonsense_is_less_likely() -> None:
    text = random_text(5, 500)
    values = [estimate(text[100:], order=order).model.perplexity(text[:100]).value for order in (1, 2)]
    assert values[1] < 0.8 * values[0]
    model = estimate(text).model
    assert model.score(["a", "b", "c"]) > model.score(["p", "a", "p"])


def test_counts_and_blank_lines() -> None:
    found = estimate(["", "a b", " ", "a"])
    assert (found.sentences, found.tokens) == (2, 3)
    assert found.model.vocabulary == ("<unk>", "<s>", "</s>", "a", "b")
    assert estimate(["ab a"], units="characters").model.vocabulary[3:] == ("a", "b", "<space>")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ([], {}, "the text is empty"),
        (["", " "], {}, "the text is empty"),
        (["a <s> b"], {}, "'a <s> b' holds <s>"),
        (["a <unk>"], {}, "'a <unk>' holds <unk>"),
        (["a"], {"order": 0}, "must be 1 to 20, not 0"),
        (["a"], {"prune": (1,)}, "begin with 0"),
        (["a"], {"prune": (0, 2, 1)}, "never fall"),
    ],
)
def test_refusals(text: list[str], options: dict[str, int], message: str) -> None:
    with pytest.raises(LanguageModelError, match=message):
        estimate(text, **options)  # type: ignore[arg-type]


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    """`asr lm` works where PyTorch is not installed."""
    (tmp_path / "text.txt").write_text("a b\nb a b\n")
    code = "import sys; sys.modules['torch'] = None; sys.argv[0] = 'asr'; from asr.cli import main; main()"
    files = [tmp_path / "text.txt", "-o", tmp_path / "lm.arpa", "--validation", tmp_path / "text.txt"]
    command = [sys.executable, "-c", code, "lm", *files]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{read_arpa(tmp_path / 'lm.arpa').perplexity(['a b', 'b a b'])}\n"
