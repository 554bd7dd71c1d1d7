"""Modules of the page's views, in a headless browser: takes, WAV files, curves, differences of texts."""

import base64
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

RATE = 48000  # Hz
SECONDS = 4.0


@pytest.fixture(scope="module")
def tab(browser: Any, page_files: str) -> Any:
    """A tab at the address of the page that runs nothing by itself, to call functions of modules."""
    opened = browser.new_page()
    opened.goto(f"{page_files}/static/app.css")
    return opened


def run(tab: Any, function: str, *arguments: Any) -> Any:
    """Call a function of JavaScript that gets `arguments`, and `load`, which imports a module of the page."""
    load = "(path) => import(new URL(`../static/js/${path}`, location.href))"
    return tab.evaluate(f"async (given) => ({function})({load}, ...given)", list(arguments))


def test_recordings_are_written_sample_for_sample(tab: Any, tmp_path: Path) -> None:
    """Every 16-bit sample comes back as it is; what exceeds full scale is clipped, not wrapped."""
    samples = np.arange(-32768, 32768, dtype=np.int16)
    encoded = run(
        tab,
        """async (load, encoded, rate) => {
            const { toInt16, wavBlob } = await load("record/wav.js");
            const bytes = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
            const samples = new Float32Array(bytes.buffer);
            const blob = wavBlob([toInt16(samples.subarray(0, 7)), toInt16(samples.subarray(7))], rate);
            const written = new Uint8Array(await blob.arrayBuffer());
            return btoa(written.reduce((text, byte) => text + String.fromCharCode(byte), ""));
        }""",
        base64.b64encode(np.append(samples / np.float32(32768), np.float32([1, 1.5, -2])).astype("<f4")).decode(),
        44100,
    )
    (tmp_path / "a.wav").write_bytes(base64.b64decode(encoded))
    found, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 44100 and soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    assert found.tolist() == [*samples.tolist(), 32767, 32767, -32768]


TAKES = """async (load, takes, failures) => {
    const { Takes } = await load("record/takes.js");
    const [sent, told] = [[], []];
    const store = new Takes(async (take) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (failures[take.name] > 0) {
            failures[take.name]--;
            throw new Error("no");
        }
        sent.push(take.name);
        return take.name;
    });
    store.changed = (take, answer) => told.push([take.name, answer, store.waiting.length]);
    for (const take of takes) store.add(take);
    const rounds = [];
    for (let round = 0; round < 3; round++) {
        while (store.sending) await new Promise((resolve) => setTimeout(resolve, 1));
        rounds.push([[...sent], store.failed.map((take) => take.name)]);
        store.run();
    }
    return { rounds, told };
}"""


def test_no_take_is_lost(tab: Any) -> None:
    """A take that cannot be stored waits; others pass it, except later takes of its own prompt."""
    takes = [{"name": name, "number": number} for name, number in (("a", 1), ("b", 1), ("c", 2), ("d", 3))]
    found = run(tab, TAKES, takes, {"a": 1, "d": 2})
    assert found["rounds"] == [
        [["c"], ["a", "d"]],
        [["c", "a", "b"], ["d"]],
        [["c", "a", "b", "d"], []],
    ]
    assert found["told"][:3] == [["a", None, 4], ["c", "c", 3], ["d", None, 3]]


def common_words(first: list[str], second: list[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for one in first:
        new = [0]
        for place, other in enumerate(second):
            new.append(row[place] + 1 if one == other else max(new[-1], row[place + 1]))
        row = new
    return row[-1]


def test_differences_hold_both_texts(tab: Any) -> None:
    """Equal and missing words make the reference, equal and added ones the hypothesis; most words are equal."""
    generator = random.Random(0)
    words = ["a", "b", "c", "é", "e\u0301", "שלום", "<b>"]
    pairs = [[" ".join(generator.choices(words, k=generator.randrange(9))) for _ in "ab"] for _ in range(60)]
    pairs += [["", ""], ["a", ""], ["", "a  b"], ["cafe\u0301 x", "café x"]]
    found = run(
        tab,
        """async (load, pairs) => {
            const { differences } = await load("train/differences.js");
            return pairs.map((pair) => differences(...pair));
        }""",
        pairs,
    )
    for (reference, hypothesis), parts in zip(pairs, found, strict=True):
        first, second = (text.replace("e\u0301", "é").split() for text in (reference, hypothesis))

        def joined(*kinds: str, parts: list[dict[str, str]] = parts) -> list[str]:
            return " ".join(part["text"] for part in parts if part["kind"] in kinds).split()

        assert joined("same", "missing") == first and joined("same", "added") == second
        assert len(joined("same")) == common_words(first, second)


@pytest.mark.parametrize(
    "values",
    [[[1.0]], [[None, None]], [[3.0, None, 1.0], [110.0, 50.0, 20.0]], [[0.0] * 120, [1e-9] * 120], [[1e6, 1.0]]],
    ids=["one epoch", "no number", "a gap", "many epochs of nothing", "a large number"],
)
def test_curves_lie_inside_their_picture(values: list[list[float | None]], tab: Any) -> None:
    """Each number has its point inside the axes, the higher the larger; no number is drawn where there is none."""
    found = run(
        tab,
        """async (load, values) => {
            const { curves } = await load("train/curves.js");
            const series = values.map((one, place) => ({ kind: ["first", "second"][place], values: one }));
            const epochs = values[0].map((_, place) => place + 1);
            const svg = curves({ epochs, series, width: 360, label: "CER 5", axis: "epoch" });
            const points = [...svg.querySelectorAll("polyline")].map((line) => line.getAttribute("points"));
            return { points, text: svg.outerHTML, label: svg.getAttribute("aria-label") };
        }""",
        values,
    )
    assert found["label"] == "CER 5" and not any(word in found["text"] for word in ("NaN", "undefined", "Infinity"))
    for series, line in zip(values, found["points"], strict=True):
        numbers = [value for value in series if value is not None]
        points = np.array([point.split(",") for point in line.split()], dtype=float).reshape(-1, 2)
        assert len(points) == len(numbers)
        assert ((points >= [48, 10]) & (points <= [348, 184])).all()
        assert np.all(np.diff(points[:, 0]) > 0)
        order = np.argsort(numbers, kind="stable")
        assert np.all(np.diff(points[order, 1]) <= 0)


def test_durations_in_words(tab: Any) -> None:
    seconds = [0, 1, 59.4, 59.6, 90, 3569, 3571, 7200, 4800]
    found = run(
        tab,
        """async (load, seconds) => {
            const [{ inWords }, { t }] = await Promise.all([load("train/durations.js"), load("strings.js")]);
            return seconds.map((one) => inWords(one, t));
        }""",
        seconds,
    )
    assert found == ["1 s", "1 s", "59 s", "1 min", "2 min", "59 min", "1 h", "2 h", "1 h 20 min"]


def test_lists_of_prompts_in_their_encodings(tab: Any) -> None:
    """UTF-8 and marked UTF-16 are read; other bytes are not guessed."""
    text = "ñandú\nשלום\n"
    files = [text.encode(name) for name in ("utf-8", "utf-8-sig", "utf-16")] + ["ñandú".encode("latin-1"), b""]
    found = run(
        tab,
        """async (load, files) => {
            const { textOf } = await load("record/list.js");
            return Promise.all(files.map((bytes) => textOf(new File([new Uint8Array(bytes)], "a.txt"))));
        }""",
        [list(one) for one in files],
    )
    assert found == [text, text, text, None, ""]


def test_a_take_has_every_sample(chromium: Callable[..., Any], page_files: str, tmp_path: Path) -> None:
    """A take is one piece of what the microphone hears, at its rate, and knows when it began."""
    times = np.arange(RATE * 20) / RATE
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * times), RATE, subtype="PCM_16")
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    opened = chromium(*flags, f"--use-file-for-fake-audio-capture={tmp_path / 'tone.wav'}").new_page()
    opened.goto(f"{page_files}/static/app.css")
    found = run(
        opened,
        """async (load, seconds) => {
            const { Recorder } = await load("record/recorder.js");
            const levels = [];
            const recorder = new Recorder({ level: (peak) => levels.push(peak) });
            await recorder.open();
            while (!levels.some((peak) => peak > 0.4)) await new Promise((resolve) => setTimeout(resolve, 50));
            const before = Date.now();
            recorder.start();
            await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
            const take = await recorder.stop();
            await recorder.close();
            const bytes = new Uint8Array(await take.blob.arrayBuffer());
            const blob = btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
            const open = recorder.microphone !== null;
            return { blob, late: take.started - before, seconds: take.seconds, level: levels.at(-1), open };
        }""",
        SECONDS,
    )
    (tmp_path / "take.wav").write_bytes(base64.b64decode(found["blob"]))
    samples, rate = soundfile.read(tmp_path / "take.wav")
    assert len(samples) / rate == pytest.approx(found["seconds"])
    assert SECONDS <= found["seconds"] < SECONDS + 0.3
    assert -120 <= found["late"] <= 50  # ms
    assert found["level"] == pytest.approx(0.5, abs=0.02) and not found["open"]
    angles = 2 * np.pi * 440 * np.arange(len(samples)) / rate
    basis = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, samples, rcond=None)[0]
    assert np.abs(samples - fitted).max() < 0.02  # a lost sample shifts all that follow


def test_a_microphone_that_falls_silent_is_closed(chromium: Callable[..., Any], page_files: str) -> None:
    """The take that goes on is kept when the browser gives no more sound."""
    opened = chromium("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream").new_page()
    opened.goto(f"{page_files}/static/app.css")
    found = run(
        opened,
        """async (load) => {
            const { Recorder } = await load("record/recorder.js");
            const reasons = [];
            const recorder = new Recorder({ ended: (reason) => reasons.push(reason) });
            await recorder.open();
            recorder.start();
            await new Promise((resolve) => setTimeout(resolve, 500));
            await recorder.microphone.context.suspend();
            while (!reasons.length) await new Promise((resolve) => setTimeout(resolve, 50));
            const { seconds } = await recorder.stop();
            return { reasons, seconds, open: recorder.microphone !== null };
        }""",
    )
    assert found["reasons"] == ["lost"] and 0.3 < found["seconds"] < 1.5 and not found["open"]


def test_every_text_has_its_key_and_its_values(tab: Any) -> None:
    """Keys that modules name are in the table, so that no view fails on a missing text."""
    scripts = Path(__file__).parent.parent / "asr" / "serving" / "static" / "js"
    named = set()
    for path in scripts.rglob("*.js"):
        named |= set(re.findall(r'\bt\("([\w. ]+)"', path.read_text(encoding="utf-8")))
    missing = run(
        tab,
        """async (load, keys) => {
            const { t } = await load("strings.js");
            return keys.filter((key) => {
                try {
                    return typeof t(key, { count: 1 }) !== "string";
                } catch {
                    return true;
                }
            });
        }""",
        sorted(named),
    )
    assert len(named) > 80 and missing == []
