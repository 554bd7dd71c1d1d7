"""ROVER: the vote on words, its alignment against NIST's program, and the command."""

import json
import random
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from processes import run_asr
from rapidfuzz.distance import Levenshtein

from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AsrError, ManifestError
from asr.learning.rover import _aligned, combine, combine_files
from asr.utterance import Utterance


def vote(*texts: str) -> str:
    return " ".join(combine([text.split() for text in texts]))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("a b c", "a x c", "a b c"), "a b c"),
        (("a b c", "a c", "a c"), "a c"),  # a word that most texts lack goes
        (("a c", "a b c", "a b c"), "a b c"),  # and one that most texts have comes
        (("a b", "x b", "y b"), "a b"),  # of equal votes, the first text decides
        (("", "a b", "a b"), "a b"),
        (("a b", "", ""), ""),
        (("a b", "b a", "a b"), "a b"),
        (("one two three four", "two three four", "one two four"), "one two three four"),
    ],
)
def test_most_votes_win(texts: tuple[str, ...], expected: str) -> None:
    assert vote(*texts) == expected


def test_equal_texts_stay_and_one_text_is_itself() -> None:
    generator = random.Random(0)
    for _ in range(50):
        text = " ".join(generator.choices("abcd", k=generator.randrange(8)))
        assert vote(text, text, text) == vote(text) == text


@pytest.mark.skipif(shutil.which("sctk") is None, reason="NIST's sctk is not installed")
def test_the_vote_is_that_of_sctk(tmp_path: Path) -> None:
    """Three texts with an error each, far enough apart: sctk's vote by frequency has to give the same words."""
    generator = random.Random(1)
    texts: list[list[str]] = [[], [], []]
    spoken = [[f"w{sentence}-{place}" for place in range(8)] for sentence in range(40)]
    for words in spoken:
        for number, text in enumerate(texts):
            own, at = list(words), 2 * number + 1
            match generator.randrange(3):
                case 0:
                    own[at] = "x"
                case 1:
                    del own[at]
                case 2:
                    own.insert(at, "y")
            text += own
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.ctm")
        files[-1].write_text("".join(f"r 1 {at}.00 0.50 {word} 1.0\n" for at, word in enumerate(text)))
    command = ["sctk", "rover", *(part for file in files for part in ("-h", str(file), "ctm"))]
    out = tmp_path / "out.ctm"
    subprocess.run(
        [*command, "-o", str(out), "-m", "avgconf", "-a", "1.0", "-c", "0.0"], check=True, capture_output=True
    )
    theirs = [line.split()[4] for line in out.read_text().splitlines() if not line.startswith(";")]
    assert combine(texts) == theirs == [word for words in spoken for word in words]


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    texts = {"1": ("un deux", "un deux", "une deux"), "2": ("trois", "quatre", "quatre")}
    paths = [tmp_path / f"{name}.jsonl" for name in "abc"]
    for number, path in enumerate(paths):
        rows = [
            Utterance(key, tmp_path / f"{key}.wav", "quatre", extra={"hypothesis": said[number], "nbest": []})
            for key, said in texts.items()
        ]
        write_manifest(path, rows)
    return paths


def test_the_command_writes_a_manifest(manifests: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    found = run_asr("rover", *manifests, "-o", out)
    assert found.returncode == 0, found.stderr
    assert [row.extra for row in read_manifest(out)] == [{"hypothesis": "un deux"}, {"hypothesis": "quatre"}]
    assert f"3 texts of each recording combined; 1 of 2 differ from {manifests[0]}" in found.stderr
    assert f"next: asr score {out} {out}" in found.stderr
    assert run_asr("score", out, out).returncode == 0


def test_files_that_do_not_fit_are_named(manifests: list[Path], tmp_path: Path) -> None:
    with pytest.raises(AsrError, match="at least two models"):
        combine_files(manifests[:1])
    lines = manifests[1].read_text().splitlines()
    short = tmp_path / "short.jsonl"
    short.write_text(lines[0] + "\n")
    for order in ([manifests[0], short], [short, manifests[0]]):
        with pytest.raises(ManifestError, match=r"short.jsonl: lacks 1 of the recordings: 2;"):
            combine_files(order)
    row = json.loads(lines[0])
    del row["hypothesis"]
    (tmp_path / "none.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ManifestError, match="1 has no hypothesis"):
        combine_files([manifests[0], tmp_path / "none.jsonl"])
    same = run_asr("rover", *manifests, "-o", manifests[0])
    assert same.returncode == 1 and "is also an input" in same.stderr
    text = run_asr("rover", *manifests, "-o", tmp_path / "x.txt")
    assert text.returncode == 1 and "must be a manifest" in text.stderr


def test_the_alignment_costs_least() -> None:
    """The cost of all moves, counted from the slots, is that of a plain recursion over the definition."""
    generator = random.Random(2)

    def cost(slot: list[str], word: str) -> int:
        if not word:
            return 0 if "" in slot else 3
        return 3 if not any(slot) else 4 * (word not in slot)

    def least(slots: list[list[str]], words: list[str]) -> int:
        if not slots:
            return 3 * len(words)
        ways = [least(slots[1:], words) + cost(slots[0], "")]
        if words:
            ways += [least(slots[1:], words[1:]) + 4 * (words[0] not in slots[0]), 3 + least(slots, words[1:])]
        return min(ways)

    for _ in range(60):
        slots = [[word] for word in generator.choices("abc", k=generator.randrange(5))]
        slots = _aligned(slots, generator.choices("abc", k=generator.randrange(5)), 1)
        words = generator.choices("abc", k=generator.randrange(5))
        found = _aligned(slots, words, 2)
        assert sum(cost(slot[:-1], slot[-1]) for slot in found) == least(slots, words)
        assert [slot[-1] for slot in found if slot[-1]] == words
        assert [slot[:-1] for slot in found if any(slot[:-1])] == slots


def test_texts_of_long_recordings_are_combined_in_little_memory() -> None:
    generator = random.Random(3)
    spoken = generator.choices([f"w{number}" for number in range(300)], k=4000)
    texts = [[word if generator.random() > 0.1 else "x" for word in spoken] for _ in range(3)]
    tracemalloc.start()
    found = combine(texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert Levenshtein.distance(found, spoken) < 200  # the vote; each text alone has about 400 errors in 4000 words
    assert peak < 60e6  # bytes, of 16 million pairs of a slot and a word


def test_composed_and_decomposed_letters_are_one_word(tmp_path: Path) -> None:
    paths = []
    for number, text in enumerate(("cafe\u0301 noir", "caf\u00e9 rouge", "caf\u00e9 noir")):
        paths.append(tmp_path / f"{number}.jsonl")
        write_manifest(paths[-1], [Utterance("1", tmp_path / "1.wav", extra={"hypothesis": text})])
    (line,), changed = combine_files(paths)
    assert line.extra["hypothesis"] == "caf\u00e9 noir" and changed == 0
    assert combine_files(paths[:1] + paths[2:])[1] == 0
