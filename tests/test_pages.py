"""Tests the pages: complete and escaped HTML without network; sorting, filtering and narrow screens in a browser."""

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.figures.page import audio_uri
from asr.figures.training import write_training_page
from asr.report.score import write_score
from asr.scoring.summary import Summary, summarise
from asr.text import Normalizer

ROWS = [
    {"id": "1", "text": "mbɔ́mbɔ́ a b", "speaker": "x", "hypothesis": "mbɔmbɔ́ a b"},
    {"id": "2", "text": "<b>c</b> d", "speaker": "<i>y</i>", "hypothesis": "<script>c</script>"},
    {"id": "10", "text": "שלום עולם a b c", "speaker": "z", "hypothesis": "שלום"},
]
VOID = {"meta", "img", "br"}


def summary_of(folder: Path, *systems: list[dict[str, Any]], **options: Any) -> Summary:
    """The summary of hypotheses, each system in a file of its own, against the references of the first."""
    paths = [folder / f"{number}.jsonl" for number in range(len(systems))]
    for path, rows in zip(paths, systems, strict=True):
        path.write_text("\n".join(json.dumps({"audio_filepath": f"{row['id']}.wav", **row}) for row in rows))
    return summarise(paths[0], paths, Normalizer(), **options)


def correct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "hypothesis": row["text"]} for row in rows]


def log(epochs: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch, "seconds": 12.5 * epoch, "memory_mb": 812.3, "train_loss": 0.05 / epoch,
            "validation_loss": 0.0042 / epoch, "cer": 3.0 / epoch, "wer": 9.0 / epoch,
            "gradient_norms": {"subsampling": 1.0, "layers.0": 0.5, "output": 0.1}, "samples": [["<b>", "שלום"]],
        }
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


class PageReader(HTMLParser):
    """The tags, the text and the headings of a page; fails if tags are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        assert not {"href", "onclick"} & values.keys()
        assert (values.get("src") or "data:").startswith("data:")
        assert tag != "img" or values["alt"]
        assert tag != "html" or values["lang"] == "en"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.text += data


def read(path: Path) -> PageReader:
    """A page that needs no network, and whose headings have no gap in their levels."""
    page = path.read_text(encoding="utf-8")
    assert "http" not in re.sub(r"data:[a-z/+]+;base64,[\w+/=]+|http-equiv", "", page) and "url(" not in page
    reader = PageReader(page)
    levels = [int(tag[1]) for tag in reader.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    return reader


def test_page_of_a_score_holds_everything_and_escapes_it(tmp_path: Path) -> None:
    for systems in ((ROWS,), (ROWS, correct(ROWS)), (correct(ROWS),)):
        (tmp_path / "training.txt").write_text("a b\n")
        summary = summary_of(tmp_path, *systems, errors=True, training=tmp_path / "training.txt")
        write_score(tmp_path / "page.html", summary, "a < b")
        reader = read(tmp_path / "page.html")
        assert not {"link", "img", "iframe", "b", "i"} & set(reader.tags)
        assert reader.tags.count("script") == (systems != (correct(ROWS),))
        for line in (*summary.systems[0].lines, "a < b", *([str(summary.comparison)] if summary.comparison else [])):
            assert line in reader.text
        for table in (table for system in summary.systems for table in system.tables):
            assert table.title in reader.text
        for text in ("<b>c</b>", "<i>y</i>", "<script>c</script>"):
            assert (text in reader.text) == (ROWS in systems)


def test_pages_hold_no_control_characters(tmp_path: Path) -> None:
    row = {"id": "1\x1b[31m", "text": "a\x00 b", "hypothesis": "\x9ba"}
    write_score(tmp_path / "page.html", summary_of(tmp_path, [row], errors=True), "\x07")
    page = (tmp_path / "page.html").read_bytes().decode()
    assert "a\ufffd" in page and not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)


def test_page_of_a_run_in_training(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    options: dict[str, Any] = {"title": "a < b", "epochs": 5, "cell": "lstm", "frontend": "conv"}
    write_training_page(path, log(3), done=False, **options)
    reader = read(path)
    assert 'http-equiv="refresh"' in path.read_text() and "epoch 3 of 5" in reader.text
    assert "stopped" not in reader.text
    for text in ("a < b", "<b>", "שלום", "0.0167", "0.00140", "0.0500", "0.00420", "3.00"):
        assert text in reader.text
    write_training_page(path, log(3), done=True, stopped="no lower CER for 2 epochs", **options)
    reader = read(path)
    assert "http-equiv" not in path.read_text() and "epoch 3 of 5, done" in reader.text
    assert "Why training stopped: no lower CER for 2 epochs" in reader.text
    alternatives = re.findall(r'<img [^>]*alt="([^"]+)"', path.read_text())
    assert [text.split(" by epoch")[0] for text in alternatives] == [
        "Loss in nats per unit", "Validation errors", "Gradient norms",
    ]  # fmt: skip
    assert "validation from 0.00420 to 0.00140" in alternatives[0] and "kept: epoch 3, CER 1.00 %" in alternatives[1]
    assert "convolutions 1.00, LSTM layer 1 0.500, output layer 0.100" in alternatives[2]


def test_recordings_are_played_by_every_browser() -> None:
    for rate in (16000, 11000):
        assert audio_uri(np.zeros(rate, dtype=np.float32), rate).startswith("data:audio/mpeg;base64,")


def ids(page: Any) -> list[str]:
    """The first cell of each row that is shown."""
    return [row.split("\t")[0] for row in page.locator("table.sortable tbody tr:visible").all_inner_texts()]


def test_a_browser_sorts_and_filters(browser: Any, tmp_path: Path) -> None:
    write_score(tmp_path / "page.html", summary_of(tmp_path, ROWS), "scores")
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    assert ids(page) == ["10", "2", "1"]
    page.get_by_role("button", name="id", exact=True).click()
    assert ids(page) == ["1", "2", "10"]
    assert page.locator("th[aria-sort=ascending]").inner_text() == "id"
    page.get_by_role("button", name="words").focus()
    for order in (["10", "1", "2"], ["2", "1", "10"]):  # words: 5, 3, 2; a number column begins with the highest
        page.keyboard.press("Enter")
        assert ids(page) == order
    box = page.get_by_label("Show utterances that contain")
    for text, shown in (("שלום", ["10"]), ("MBƆ", ["1"]), ("<b>", ["2"]), ("nothing", []), ("", ["2", "1", "10"])):
        box.fill(text)
        assert ids(page) == shown and page.locator("output").inner_text() == f"{len(shown)} of 3"
    assert errors == []


def test_a_browser_shows_many_utterances_in_parts(browser: Any, tmp_path: Path) -> None:
    rows = [{"id": f"u{number}", "text": f"w{number} a", "hypothesis": "b"} for number in range(450)]
    write_score(tmp_path / "page.html", summary_of(tmp_path, rows), "scores")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert len(ids(page)) == 200
    page.get_by_role("button", name="Show 200 more of 250").click()
    page.get_by_role("button", name="Show 50 more of 50").click()
    assert len(ids(page)) == 450 and page.locator(".scroll + button:visible").count() == 0
    page.get_by_role("button", name="id", exact=True).click()
    assert ids(page) == [f"u{number}" for number in range(200)]
    page.get_by_label("Show utterances that contain").fill("w449")
    assert ids(page) == ["u449"]
    without_script = browser.new_context(java_script_enabled=False).new_page()
    without_script.goto((tmp_path / "page.html").as_uri())
    assert len(ids(without_script)) == 450


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_fits_pages_to_a_phone(browser: Any, tmp_path: Path, scheme: str) -> None:
    long = [{"id": "long" * 20, "text": "word " * 30 + "w" * 200, "speaker": "speaker" * 9, "hypothesis": "a"}]
    write_score(tmp_path / "score.html", summary_of(tmp_path, ROWS + long, ROWS + long, errors=True), "s" * 99)
    write_training_page(
        tmp_path / "training.html", log(30), title="t" * 99, epochs=30, done=True, cell="rnn_relu", frontend="stack"
    )
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    for name in ("score", "training"):
        page.goto((tmp_path / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ink, paper = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
        assert (brightness[0] > brightness[1]) == (scheme == "dark")
    right_to_left = page.locator("bdi", has_text="שלום").first
    assert right_to_left.evaluate("element => element.matches(':dir(rtl)')")
