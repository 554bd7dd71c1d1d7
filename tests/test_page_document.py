"""The editor's operations on documents, in a headless browser: nothing is lost, times stay in order, undo is exact."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import REPOSITORY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the extra serve")


SHORTEST = 0.05  # seconds of a segment
NEARLY = 1e-6
WORDS = ["ngá", "kwa", "ámilémba", "क्षेत्र", "नमस्ते", "سلام", "e\u0301e\u0300", "我们", "a", "ok,"]


@pytest.fixture(scope="module")
def modules(browser: Any, page_files: str) -> Iterator[Any]:
    """A tab at the address of the page that runs nothing by itself, to call functions of the page's modules."""
    opened = browser.new_page()
    opened.goto(f"{page_files}/static/js/times.js")
    yield opened
    opened.close()


def call(tab: Any, code: str, argument: Any = None) -> Any:
    """Run the body of a function of JavaScript with the editor's modules and `argument`."""
    return tab.evaluate(
        f"""async (argument) => {{
            const documents = await import("/static/js/editor/document.js");
            const {{ History }} = await import("/static/js/editor/history.js");
            const {{ Effort }} = await import("/static/js/editor/effort.js");
            const {{ matched }} = await import("/static/js/editor/matching.js");
            {code}
        }}""",
        argument,
    )


@st.composite
def document(draw: st.DrawFn) -> dict[str, Any]:
    """A document as a service sends it: segments in order, some touching, with or without words."""
    segments, now = [], 0.0
    for number in range(1, draw(st.integers(1, 5)) + 1):
        now = round(now + draw(st.sampled_from([0.0, 0.0, 0.3, 1.0])), 3)
        end = round(now + draw(st.sampled_from([0.05, 0.3, 2.0])), 3)
        texts = draw(st.lists(st.sampled_from(WORDS), max_size=5))
        step = (end - now) / max(len(texts), 1)
        words = [
            {"text": text, "start": round(now + index * step, 3), "end": round(now + (index + 0.9) * step, 3),
             "confidence": draw(st.sampled_from([0.2, 0.7, 1.0]))}
            for index, text in enumerate(texts)
        ]  # fmt: skip
        segments.append(
            {"id": f"s{number}", "start": now, "end": end, "text": " ".join(texts), "checked": draw(st.booleans()),
             "speaker": draw(st.sampled_from([None, None, "A"])), "words": words if draw(st.booleans()) else [],
             "nbest": [{"text": " ".join(reversed(texts)), "score": -1.0}]}
        )  # fmt: skip
        now = end
    return {"duration": round(now + draw(st.sampled_from([0.0, 1.0])), 3), "segments": segments}


OPERATION = st.one_of(
    st.tuples(st.just("split"), st.integers(0, 8), st.integers(0, 40), st.floats(0, 10)),
    st.tuples(st.just("join"), st.integers(0, 8)),
    st.tuples(st.just("move"), st.integers(0, 8), st.sampled_from(["start", "end"]), st.floats(-1, 12)),
    st.tuples(st.just("mark"), st.integers(0, 8), st.booleans()),
    st.tuples(st.just("insert"), st.floats(0, 10), st.floats(0, 10)),
    st.tuples(st.just("write"), st.integers(0, 8), st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)),
    st.tuples(st.just("remove"), st.integers(0, 8)),
)

APPLY = """
    const [first, operations] = argument;
    const history = new History(first, () => 0);
    const states = [first];
    for (const [name, target, ...rest] of operations) {
        const now = history.doc;
        const on = name === "insert" ? target : now.segments[target % (now.segments.length || 1)]?.id;
        const frozen = JSON.stringify(now);
        history.apply(documents[name](now, on, ...rest), on);
        if (JSON.stringify(now) !== frozen) throw new Error(`${name} changed its input`);
        states.push(history.doc);
    }
    const last = history.doc;
    let steps = 0;
    while (history.undo() !== undefined) steps++;
    const undone = history.doc;
    while (history.redo() !== undefined) steps--;
    return { states, undone, redone: history.doc, last, steps };
"""


def letters(document: dict[str, Any]) -> str:
    """All characters of a document but spaces, in order."""
    return "".join("".join(segment["text"].split()) for segment in document["segments"])


def check_times(document: dict[str, Any]) -> None:
    """Assert that segments are in order, do not overlap, and hold their words, which spell the text."""
    segments = document["segments"]
    assert len({segment["id"] for segment in segments}) == len(segments)
    before = 0.0
    for segment in segments:
        assert segment["start"] >= before - NEARLY
        assert segment["end"] - segment["start"] >= SHORTEST - NEARLY
        assert segment["end"] <= document["duration"] + NEARLY
        before = segment["end"]
        inside = segment["start"]
        for word in segment["words"]:
            assert inside - 1e-3 <= word["start"] <= word["end"] + NEARLY <= segment["end"] + 2e-3
            inside = word["start"]
        if segment["words"]:
            assert [word["text"] for word in segment["words"]] == segment["text"].split()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document(), st.lists(OPERATION, max_size=12))
def test_operations_lose_nothing(modules: Any, first: dict[str, Any], operations: list[tuple[Any, ...]]) -> None:
    """Splitting, joining and moving keep every character; times stay in order; undo and redo restore exactly."""
    result = call(modules, APPLY, [first, operations])
    for (name, *_), before, after in zip(operations, result["states"][:-1], result["states"][1:], strict=True):
        check_times(after)
        if name not in ("write", "remove"):
            assert letters(before) == letters(after)
    assert result["undone"] == first
    assert result["redone"] == result["last"]
    assert result["steps"] == 0


MERGE = """
    const [base, ...lists] = argument;
    const [mine, theirs] = lists.map((operations) => operations.reduce((now, [name, target, ...rest]) => {
        const on = name === "insert" ? target : now.segments[target % (now.segments.length || 1)]?.id;
        return documents[name](now, on, ...rest);
    }, base));
    const merged = documents.merged(base, mine, theirs);
    return {
        mine, theirs, merged,
        other: documents.merged(base, theirs, mine),
        alone: [documents.merged(base, mine, base), documents.merged(base, base, theirs)],
    };
"""


def content(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(one[key] for key in ("start", "end", "text", "checked", "speaker")) for one in document["segments"]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document(), *[st.lists(OPERATION, max_size=3)] * 2)
def test_merging_two_versions(modules: Any, base: dict[str, Any], one: list[Any], other: list[Any]) -> None:
    """One person's changes alone are that version; two people's changes are equal from both sides, and in order."""
    result = call(modules, MERGE, [base, one, other])
    assert content(result["alone"][0]) == content(result["mine"])
    assert content(result["alone"][1]) == content(result["theirs"])
    assert (result["merged"] is None) == (result["other"] is None)
    if result["merged"] is not None:
        check_times(result["merged"])
        assert content(result["merged"]) == content(result["other"])


def test_changes_of_other_segments_are_merged(modules: Any) -> None:
    """Two people correct two segments: both corrections are kept. Two corrections of one segment are not merged."""
    texts = call(
        modules,
        """const mine = documents.write(argument, "s1", "mine");
        const texts = (doc) => doc?.segments.map(({ text }) => text) ?? null;
        const theirs = (id) => documents.write(argument, id, "theirs");
        return ["s3", "s1"].map((id) => texts(documents.merged(argument, mine, theirs(id))));
        """,
        THREE,
    )
    assert texts == [["mine", "four five", "theirs"], None]


def common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The length of a longest common subsequence, by its definition."""
    if not one or not other:
        return 0
    if one[0] == other[0]:
        return 1 + common(one[1:], other[1:])
    return max(common(one[1:], other), common(one, other[1:]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(*[st.lists(st.sampled_from("abc"), max_size=7)] * 2)
def test_matched_words_are_a_longest_common_subsequence(modules: Any, one: list[str], other: list[str]) -> None:
    places = call(modules, "return matched(...argument)", [one, other])
    pairs = [(index, place) for index, place in enumerate(places) if place is not None]
    assert all(one[index] == other[place] for index, place in pairs)
    assert [place for _, place in pairs] == sorted({place for _, place in pairs})
    assert len(pairs) == common(tuple(one), tuple(other))


def words(text: str, *confidences: float, start: float = 0.0) -> list[dict[str, Any]]:
    return [
        {"text": word, "start": start + index, "end": start + index + 0.8, "confidence": confidence}
        for index, (word, confidence) in enumerate(zip(text.split(), confidences, strict=True))
    ]


def segment(number: int, start: float, end: float, text: str, *confidences: float, **more: Any) -> dict[str, Any]:
    timed = words(text, *confidences, start=start) if confidences else []
    shared = {"checked": False, "speaker": None, "nbest": []}
    return {"id": f"s{number}", "start": start, "end": end, "text": text, "words": timed, **shared, **more}


THREE = {
    "duration": 12.0,
    "segments": [
        segment(1, 0.0, 3.0, "one two three", 0.9, 0.3, 0.5),
        segment(2, 3.0, 5.0, "four five", 0.1, 0.1, checked=True),
        segment(3, 6.0, 8.0, "six seven", 0.9, 0.4),
    ],
}


def test_doubtful_words_are_visited_in_order_and_back(modules: Any) -> None:
    """Tab visits each doubtful word once; words of checked segments are passed over; Shift+Tab visits them back."""
    visited = call(
        modules,
        """const walk = (direction) => {
            const found = [];
            for (let id = null, place = 0; ; ) {
                const next = documents.nextDoubtful(argument, id, place, direction, 0.6);
                if (!next) return found;
                found.push(documents.find(argument, next.id).text.slice(next.from, next.to));
                [id, place] = [next.id, direction > 0 ? next.to : next.from];
            }
        };
        return [walk(1), walk(-1)];""",
        THREE,
    )
    assert visited == [["two", "three", "seven"], ["seven", "three", "two"]]


def test_a_typed_word_keeps_the_times_of_the_others(modules: Any) -> None:
    after = call(modules, 'return documents.write(argument, "s1", "one deux three")', THREE)["segments"][0]
    assert [word["text"] for word in after["words"]] == ["one", "deux", "three"]
    assert [after["words"][0], after["words"][2]] == [THREE["segments"][0]["words"][index] for index in (0, 2)]
    typed = after["words"][1]
    assert (typed["start"], typed["end"], typed["confidence"]) == (0.8, 2.0, 1)


def test_split_lies_between_words_and_join_takes_it_back(modules: Any) -> None:
    split, joined = call(
        modules,
        """const split = documents.split(argument, "s1", 8);
        return [split, documents.join(split, "s1")];""",
        THREE,
    )
    one, other = split["segments"][:2]
    assert (one["text"], other["text"]) == ("one two", "three")
    assert one["end"] == other["start"] == pytest.approx(1.9)
    before, after = THREE["segments"][0], joined["segments"][0]
    assert [after[key] for key in ("id", "start", "end", "text", "words")] == [
        before[key] for key in ("id", "start", "end", "text", "words")
    ]


@pytest.mark.parametrize(
    ("place", "time", "pieces"),
    [
        (0, None, None),  # nothing before
        (13, None, None),  # nothing behind
        (5, None, ["one t", "wo three"]),  # inside a word
    ],
)
def test_split_at_odd_places(modules: Any, place: int, time: float | None, pieces: list[str] | None) -> None:
    after = call(modules, 'return documents.split(argument[0], "s1", ...argument.slice(1))', [THREE, place, time])
    if pieces is None:
        assert after == THREE
    else:
        assert [one["text"] for one in after["segments"][:2]] == pieces


def test_a_segment_without_text_is_split_at_the_time(modules: Any) -> None:
    empty = {"duration": 9.0, "segments": [segment(1, 1.0, 5.0, "")]}
    after = call(modules, 'return documents.split(argument, "s1", 0, 2.5)', empty)
    assert [(one["start"], one["end"]) for one in after["segments"]] == [(1.0, 2.5), (2.5, 5.0)]


def test_a_border_moves_its_touching_neighbour_and_stops_at_others(modules: Any) -> None:
    moved = call(
        modules,
        """const borders = (doc) => doc.segments.map(({ start, end }) => [start, end]);
        return argument[1].map((move) => borders(documents.move(argument[0], ...move)));""",
        [THREE, [["s1", "end", 4.0], ["s1", "end", 99], ["s2", "end", 99], ["s3", "start", 0], ["s3", "end", 99]]],
    )
    assert moved == [
        [[0, 4], [4, 5], [6, 8]],  # the neighbour follows
        [[0, 4.95], [4.95, 5], [6, 8]],  # and keeps its shortest length
        [[0, 3], [3, 6], [6, 8]],
        [[0, 3], [3, 5], [5, 8]],
        [[0, 3], [3, 5], [6, 12]],  # the end of the recording
    ]


def test_alternatives_of_a_word_and_of_a_part(modules: Any) -> None:
    """The n-best texts are cut to what stands in place of the asked words; words that are missing offer nothing."""
    nbest = ["one two three", "one too three", "won to three", "one three", "one two three four"]
    text = "one two three"
    asked = segment(1, 0.0, 3.0, text, 0.9, 0.9, 0.9, nbest=[{"text": one, "score": 0.0} for one in nbest])
    places = [[4, 7], [0, 7], [8, 13], [5, 5]]
    found = call(modules, "return argument[1].map((at) => documents.alternatives(argument[0], ...at))", [asked, places])
    assert found[0] == ["too", "to"]
    assert found[1] == ["one too", "won to", "one"]
    assert found[2] == ["three four"]


def test_typing_is_undone_in_parts_of_one_kind(modules: Any) -> None:
    """Letters that follow quickly are undone together; a pause or another operation begins a new step."""
    texts = call(
        modules,
        """let now = 0;
        const history = new History(argument, () => now);
        const type = (text) => history.apply(documents.write(history.doc, "s1", text), "s1", "write s1");
        type("o"); now += 100; type("on"); now += 100; type("one");
        now += 60_000; type("one more");
        history.apply(documents.mark(history.doc, "s1", true), "s1");
        type("one more!");
        const seen = [];
        do seen.push(history.doc.segments[0].text); while (history.undo() !== undefined);
        return seen;""",
        THREE,
    )
    assert texts == ["one more!", "one more", "one more", "one", "one two three"]


def test_pauses_do_not_count_as_work(modules: Any) -> None:
    seconds = call(
        modules,
        """let now = 0;
        const effort = new Effort(() => now);
        const seconds = [];
        for (const at of argument) { now = 1000 * at; effort.note(); seconds.push(effort.seconds); }
        effort.taken(40);
        return [...seconds, effort.seconds];""",
        [0, 10, 70, 131, 135],
    )
    assert seconds == [0, 10, 70, 70, 74, 34]


def test_no_text_is_left_over() -> None:
    """Each text of the table is asked for once in the table and somewhere in the page."""
    folder = REPOSITORY / "asr/serving/static/js"
    source = "\n".join(path.read_text() for path in sorted(folder.rglob("*.js")) if path.name != "strings.js")
    table = (folder / "strings.js").read_text().split("const LANGUAGES")[0]
    keys = re.findall(r'^  "?(\w[\w. -]*)"?:', table, re.MULTILINE)
    assert len(keys) == len(set(keys))
    parts = re.findall(r"\bt\(\s*`([\w.-]+)\$\{", source)
    assert [key for key in keys if f'"{key}"' not in source and not key.startswith(tuple(parts))] == []


def test_the_guide_has_all_keys(modules: Any) -> None:
    """The table of keys in docs/page.md is the one of the page."""
    rows = call(
        modules,
        """const { KEYS } = await import("/static/js/editor/keys.js");
        const { t } = await import("/static/js/strings.js");
        return KEYS.map(({ action, keys, where }) => {
            const names = keys.map((key) => `\\`${key.replace("Arrow", "")}\\``).join(" ");
            return `| ${names} | ${t(`key.${action}`)}${where === "outside" ? ` (${t("key.outside")})` : ""} |`;
        });""",
    )
    guide = (REPOSITORY / "docs" / "page.md").read_text(encoding="utf-8").splitlines()
    first = guide.index("| key | what it does |") + 2
    assert guide[first : first + len(rows)] == rows and guide[first + len(rows)] == ""
