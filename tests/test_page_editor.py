"""The page's recordings and editor, used in a headless browser with the real service, files and sound."""

import io
import json
import re
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import RATE, Served, served, until

pytest.importorskip("fastapi", reason="needs the extra serve")
pympi = pytest.importorskip("pympi")

DEVANAGARI = "क्षेत्र नमस्ते"
ARABIC = "سلام عليكم"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("field work")


@pytest.fixture(scope="module")
def server(serving_folder: Path, work: Path) -> Iterator[Served]:
    with served(serving_folder / "two.onnx", "--data", work) as running:
        yield running


@pytest.fixture
def open_page(browser: Any, server: Served) -> Iterator[Callable[..., Any]]:
    """Return a function that opens the page as one more reader; the test fails if a script fails or leaves the host."""
    contexts, wrong = [], []

    def start(address: str = "", width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.extend([] if is_own(request.url) else [request.url]))
        page.goto(f"{server.url}/{address}")
        return page

    def is_own(url: str) -> bool:
        return url.startswith((server.url, "blob:", "data:"))

    yield start
    for context in contexts:
        context.close()
    assert wrong == []


def words(text: str, start: float, confidences: list[float]) -> list[dict[str, Any]]:
    return [
        {"text": word, "start": start + 0.4 * index, "end": start + 0.4 * index + 0.3, "confidence": confidence}
        for index, (word, confidence) in enumerate(zip(text.split(), confidences, strict=True))
    ]


def segment(number: int, start: float, text: str, confidences: list[float]) -> dict[str, Any]:
    nbest = [{"text": text, "score": -1.0}, {"text": text.replace("two", "too"), "score": -2.0}]
    return {"id": f"s{number}", "start": start, "end": start + 1.5, "text": text, "checked": False, "nbest": nbest,
            "words": words(text, start, confidences)}  # fmt: skip


SEGMENTS = [
    segment(1, 0.5, "one two three", [0.9, 0.3, 0.9]),
    segment(2, 2.0, "four five six", [0.9, 0.9, 0.2]),
    segment(3, 4.5, "seven eight nine", [0.1, 0.9, 0.9]),
]


@pytest.fixture
def recording(work: Path, server: Served, request: pytest.FixtureRequest) -> str:
    """Write a recording of 8 s with a saved document, and return its id."""
    name = f"{re.sub(r'[^a-z0-9]+', ' ', request.node.name).strip()}.wav"
    generator = np.random.default_rng(0)
    soundfile.write(work / name, 0.1 * generator.standard_normal(8 * RATE), RATE, subtype="PCM_16")
    body = {"version": "", "segments": SEGMENTS, "seconds": 1.0, "typed": False}
    server.request("PUT", f"/api/documents/{name}", json=body).raise_for_status()
    return name


def saved(work: Path, name: str) -> list[dict[str, Any]]:
    """The segments of the JSON file beside a recording."""
    return json.loads((work / name).with_suffix(".json").read_text(encoding="utf-8"))["segments"]


def texts(work: Path, name: str) -> list[str]:
    return [one["text"] for one in saved(work, name)]


def state(page: Any, expected: str) -> None:
    page.locator(f'.state[data-state="{expected}"]').wait_for()


def field(page: Any, number: int) -> Any:
    return page.locator(".segments textarea").nth(number)


def chosen(page: Any) -> str:
    """The chosen text of the field that has the cursor."""
    return page.evaluate("""() => {
        const { value, selectionStart, selectionEnd } = document.activeElement;
        return value.slice(selectionStart, selectionEnd);
    }""")


def test_from_a_file_to_corrected_files(open_page: Callable[..., Any], work: Path, tmp_path: Path) -> None:
    """Add a recording, transcribe it, correct its text, check it: the ELAN file and the manifest have the text."""
    name = "tale 1.wav"
    generator = np.random.default_rng(1)
    sound = 0.3 * generator.standard_normal(4 * RATE) * np.repeat([0.02, 1.0, 0.5, 0.02], RATE)
    soundfile.write(tmp_path / name, sound, RATE, subtype="PCM_16")
    page = open_page()
    page.get_by_label("Add files").set_input_files(tmp_path / name)
    page.get_by_role("button", name=f"Transcribe {name}").click()
    page.get_by_role("row", name=name).get_by_text("Draft").wait_for()
    page.get_by_role("link", name=name).click()
    field(page, 0).fill("ngá kwa ámilémba")
    field(page, 0).press("Enter")
    state(page, "saved")
    assert saved(work, name)[0]["text"] == "ngá kwa ámilémba" and saved(work, name)[0]["checked"]
    elan = pympi.Elan.Eaf(str(work / "tale 1.eaf"))
    annotations = [one for tier in elan.get_tier_names() for one in elan.get_annotation_data_for_tier(tier)]
    assert "ngá kwa ámilémba" in [one[2] for one in annotations]
    (line,) = [
        json.loads(one)
        for one in (work / "checked.jsonl").read_text(encoding="utf-8").splitlines()
        if json.loads(one)["audio_filepath"] == name
    ]
    assert (line["text"], line["checked"]) == ("ngá kwa ámilémba", True)


def test_by_keyboard_alone(open_page: Callable[..., Any], work: Path, recording: str) -> None:
    """Doubtful words in turn, checking, splitting, joining, borders, and undoing all of it."""
    page = open_page(f"#/edit/{recording}")
    field(page, 0).focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("Tab")
        seen.append(chosen(page))
    page.keyboard.press("Shift+Tab")
    assert [*seen, chosen(page)] == ["two", "six", "seven", "six"]
    page.keyboard.type("seis")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.value") == "seven eight nine"
    page.keyboard.press("ArrowRight")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Control+Enter")
    assert field(page, 2).input_value() == "seven" and field(page, 3).input_value() == "eight nine"
    page.keyboard.press("Alt+Shift+ArrowRight")
    page.keyboard.press("Control+s")
    state(page, "saved")
    first, second = saved(work, recording)[2:4]
    assert first["end"] == second["start"] == pytest.approx(4.9, abs=0.01)
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("Control+j")
    assert field(page, 2).input_value() == "seven eight nine"
    for _ in range(20):
        page.keyboard.press("Control+z")
    page.keyboard.press("Control+s")
    state(page, "saved")
    kept = ("id", "start", "end", "text", "checked")
    before, after = ([[one[key] for key in kept] for one in some] for some in (SEGMENTS, saved(work, recording)))
    assert before == after
    for _ in range(20):
        page.keyboard.press("Control+Shift+Z")
    assert field(page, 2).input_value() == "seven eight nine" and field(page, 1).input_value() == "four five seis"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.get_by_role("dialog").get_by_text("Split the segment at the cursor").is_visible()


def test_alternatives_are_offered(open_page: Callable[..., Any], recording: str) -> None:
    page = open_page(f"#/edit/{recording}")
    field(page, 0).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Control+m")
    menu = page.get_by_role("menu")
    assert menu.get_by_role("menuitem").all_inner_texts() == ["too", "one too three"]
    page.keyboard.press("Enter")
    assert field(page, 0).input_value() == "one too three"
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"


@pytest.mark.parametrize("choice", ["Keep mine", "Take theirs", "Keep both changes"])
def test_two_readers_lose_nothing(open_page: Callable[..., Any], work: Path, recording: str, choice: str) -> None:
    """The second to save sees both versions; the one not taken is one step back."""
    first, second = open_page(f"#/edit/{recording}"), open_page(f"#/edit/{recording}")
    field(first, 0).fill("the first reader")
    field(second, 2).fill("the second reader")
    first.keyboard.press("Control+s")
    state(first, "saved")
    second.keyboard.press("Control+s")
    dialog = second.get_by_role("dialog")
    dialog.get_by_text("the first reader").wait_for()
    assert dialog.get_by_text("the second reader").is_visible()
    assert texts(work, recording) == ["the first reader", "four five six", "seven eight nine"]
    second.keyboard.press("Enter")  # typing goes on: no button is pressed unread
    assert dialog.is_visible()
    dialog.get_by_role("button", name=choice).click()
    state(second, "saved")
    mine = ["one two three", "four five six", "the second reader"]
    theirs = ["the first reader", "four five six", "seven eight nine"]
    both = ["the first reader", "four five six", "the second reader"]
    assert texts(work, recording) == {"Keep mine": mine, "Take theirs": theirs, "Keep both changes": both}[choice]
    field(second, 1).focus()
    second.keyboard.press("Control+z")
    values = [one.input_value() for one in second.locator(".segments textarea").all()]
    assert values == (mine if choice == "Take theirs" else theirs)


def test_a_conflict_that_is_put_off_asks_again(open_page: Callable[..., Any], work: Path, recording: str) -> None:
    first, second = open_page(f"#/edit/{recording}"), open_page(f"#/edit/{recording}")
    field(first, 0).fill("the first reader")
    first.keyboard.press("Control+s")
    state(first, "saved")
    field(second, 0).fill("the second reader")
    second.keyboard.press("Control+s")
    second.get_by_role("dialog").wait_for()
    second.keyboard.press("Escape")
    state(second, "conflict")
    field(second, 0).fill("the second reader again")
    second.wait_for_timeout(4000)  # longer than until the next automatic save
    assert texts(work, recording)[0] == "the first reader"
    second.keyboard.press("Control+s")
    second.get_by_role("button", name="Keep mine").click()
    state(second, "saved")
    assert texts(work, recording)[0] == "the second reader again"


def refuse_saves(route: Any) -> None:
    """Lose the network for requests that save."""
    if route.request.method == "PUT":
        route.abort()
    else:
        route.continue_()


def test_text_survives_a_lost_network_and_a_closed_page(
    open_page: Callable[..., Any], work: Path, recording: str
) -> None:
    page = open_page(f"#/edit/{recording}")
    page.route(
        "**/api/documents/**", lambda route: route.abort() if route.request.method == "PUT" else route.continue_()
    )
    field(page, 0).fill("typed in the dark")
    state(page, "failed")
    assert page.get_by_role("alert").is_visible()
    assert texts(work, recording)[0] == "one two three"
    page.on("dialog", lambda dialog: dialog.accept())  # leave although it is not saved
    page.unroute("**/api/documents/**")
    page.reload()
    page.locator(".segments textarea").first.wait_for()
    assert field(page, 0).input_value() == "typed in the dark"
    state(page, "saved")
    assert texts(work, recording)[0] == "typed in the dark"


def test_kept_text_does_not_overwrite_a_newer_version(
    open_page: Callable[..., Any], server: Served, work: Path, recording: str
) -> None:
    """Text that the browser kept meets a version that was saved meanwhile: the reader is asked."""
    page = open_page(f"#/edit/{recording}")
    page.route(
        "**/api/documents/**", lambda route: route.abort() if route.request.method == "PUT" else route.continue_()
    )
    field(page, 0).fill("mine")
    state(page, "failed")
    current = server.get(f"/api/documents/{recording}").json()
    current["segments"][0]["text"] = "theirs"
    server.request("PUT", f"/api/documents/{recording}", json={**current, "seconds": 0}).raise_for_status()
    page.on("dialog", lambda dialog: dialog.accept())
    page.unroute("**/api/documents/**")
    page.reload()
    page.get_by_role("dialog").get_by_text("theirs", exact=True).wait_for()
    page.wait_for_timeout(4000)  # longer than until the next automatic save
    assert texts(work, recording)[0] == "theirs"
    page.get_by_role("button", name="Keep mine").click()
    state(page, "saved")
    assert texts(work, recording)[0] == "mine"


def test_leaving_the_editor_saves(open_page: Callable[..., Any], work: Path, recording: str) -> None:
    page = open_page(f"#/edit/{recording}")
    field(page, 1).fill("just typed")
    page.get_by_role("link", name="Back to the recordings").click()
    page.get_by_role("link", name=recording).wait_for()
    assert texts(work, recording)[1] == "just typed"


def test_combining_and_right_to_left_scripts(open_page: Callable[..., Any], work: Path, recording: str) -> None:
    """Text of other scripts is saved letter for letter, laid out in its direction, and shaded where its words are."""
    page = open_page(f"#/edit/{recording}")
    field(page, 0).fill(ARABIC)
    field(page, 1).fill(DEVANAGARI)
    page.keyboard.press("Control+s")
    state(page, "saved")
    assert texts(work, recording)[:2] == [ARABIC, DEVANAGARI]
    for number, direction in ((0, "rtl"), (1, "ltr")):
        for part in ("textarea", ".copy"):
            found = page.locator(f".segments {part}").nth(number).evaluate("(one) => getComputedStyle(one).direction")
            assert found == direction
    heights = page.evaluate("""() => [...document.querySelectorAll(".text")].map(({ children: [copy, field] }) => {
        return [copy.offsetHeight, field.scrollHeight];
    })""")
    assert all(abs(copy - text) <= 3 for copy, text in heights)


def test_the_sound_follows_the_words(open_page: Callable[..., Any], recording: str) -> None:
    """A click goes to a word, a double click plays from it, a repeated segment begins again."""
    page = open_page(f"#/edit/{recording}")
    page.evaluate("""() => {
        const play = Audio.prototype.play;
        Audio.prototype.play = function () { window.sound = this; return play.call(this); };
    }""")
    box = field(page, 1).bounding_box()
    page.mouse.dblclick(box["x"] + 20, box["y"] + box["height"] / 2)
    page.wait_for_function("() => window.sound && !window.sound.paused && window.sound.currentTime > 2.05")
    page.keyboard.press("Control+Space")
    page.wait_for_function("() => window.sound.paused")
    assert 2.0 < page.evaluate("window.sound.currentTime") < 5
    page.evaluate("window.sound.playbackRate = 4")
    page.get_by_role("button", name="Repeat the segment").click()
    page.locator(".segments .time").nth(0).click()
    page.evaluate("""() => {
        window.turns = 0;
        window.furthest = 0;
        window.sound.addEventListener("seeked", () => window.turns++);
        const note = () => (window.furthest = Math.max(window.furthest, window.sound.currentTime));
        window.sound.addEventListener("timeupdate", note);
    }""")
    page.wait_for_function("() => window.turns > 1")
    assert page.evaluate("window.furthest") < 3
    page.keyboard.press("Control+Space")


def test_borders_and_new_segments_by_mouse(open_page: Callable[..., Any], work: Path, recording: str) -> None:
    page = open_page(f"#/edit/{recording}")
    part = page.get_by_role("slider", name="Position in the recording")
    part.wait_for()
    box = part.bounding_box()
    page.locator(".block").first.wait_for()

    def x(time: float) -> float:
        return box["x"] + box["width"] * time / 8  # the picture shows the whole recording

    y = box["y"] + box["height"] / 2
    page.mouse.move(x(6.0), y)  # the end of the last segment
    page.mouse.down()
    page.mouse.move(x(6.5), y, steps=4)
    page.mouse.up()
    page.mouse.move(x(7.0), y)  # where no segment lies
    page.mouse.down()
    page.mouse.move(x(7.8), y, steps=4)
    page.mouse.up()
    page.keyboard.type("ten")
    page.keyboard.press("Control+s")
    state(page, "saved")
    segments = saved(work, recording)
    assert segments[2]["end"] == pytest.approx(6.5, abs=0.03)
    assert [segments[3]["start"], segments[3]["end"]] == pytest.approx([7.0, 7.8], abs=0.03)
    assert segments[3]["text"] == "ten"
    handle = page.locator(".block.current .handle.end")
    handle.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    moved = pytest.approx(segments[3]["end"] - 0.22, abs=0.01)
    until(lambda: float(handle.get_attribute("aria-valuenow")) == moved)


def test_text_from_nothing_and_its_time(open_page: Callable[..., Any], work: Path) -> None:
    """A recording without text: the segment is drawn and typed; the time worked is sent, as work from nothing."""
    soundfile.write(work / "untouched.wav", 0.1 * np.random.default_rng(0).standard_normal(8 * RATE), RATE)
    page = open_page("#/edit/untouched.wav")
    part = page.get_by_role("slider", name="Position in the recording")
    box = part.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 8, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20, steps=4)
    page.mouse.up()
    page.keyboard.type("from nothing", delay=20)
    with page.expect_request(lambda request: request.method == "PUT") as sent:
        page.keyboard.press("Control+s")
    body = sent.value.post_data_json
    assert body["typed"] is True and body["version"] == "" and 0 < body["seconds"] < 60
    state(page, "saved")
    assert texts(work, "untouched.wav") == ["from nothing"]
    page.reload()
    field(page, 0).fill("from nothing, again")
    with page.expect_request(lambda request: request.method == "PUT") as sent:
        page.keyboard.press("Control+s")
    assert sent.value.post_data_json["typed"] is True
    state(page, "saved")


def test_transcribing_again_keeps_what_is_checked(open_page: Callable[..., Any], work: Path, recording: str) -> None:
    page = open_page(f"#/edit/{recording}")
    field(page, 1).fill("checked by me")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Transcribe what is not checked").click()
    page.get_by_role("menuitem").click()
    page.get_by_role("status").get_by_text("Transcribed.").wait_for()
    assert "checked by me" in texts(work, recording)
    assert "one two three" not in texts(work, recording)
    field(page, 0).focus()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+s")
    state(page, "saved")
    assert texts(work, recording) == ["one two three", "checked by me", "seven eight nine"]


def test_files_and_folders_are_dropped(open_page: Callable[..., Any], work: Path) -> None:
    """A drop adds what can be read and names what cannot."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(bytes(2 * RATE))
    page = open_page()
    page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped é.wav"));
            data.items.add(new File(["no sound"], "notes.wav"));
            data.items.add(new File(["<xml/>"], "dropped é.eaf"));
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }""",
        list(content.getvalue()),
    )
    page.get_by_role("link", name="dropped é.wav").wait_for()
    assert (work / "dropped é.wav").read_bytes() == content.getvalue()
    page.get_by_text("notes.wav").first.wait_for()
    page.get_by_role("alert").get_by_text("An ELAN or Praat file was not added").wait_for()


def test_a_short_recording_by_microphone(
    chromium: Callable[..., Any], server: Served, work: Path, tmp_path: Path
) -> None:
    """What the microphone hears lands in the folder as a recording."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48000 * 10) / 48000)
    soundfile.write(tmp_path / "heard.wav", tone, 48000, subtype="PCM_16")
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    page = chromium(*flags, f"--use-file-for-fake-audio-capture={tmp_path / 'heard.wav'}").new_page()
    page.goto(server.url)
    before = set(work.glob("recording *.wav"))
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Stop, 0:02").click()
    page.get_by_role("link", name=re.compile(r"^recording \d")).first.wait_for()
    (path,) = set(work.glob("recording *.wav")) - before
    sound, rate = soundfile.read(path)
    assert 1 < len(sound) / rate < 20
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.argmax(spectrum) * rate / len(sound) == pytest.approx(440, abs=5)
    page.close()


UNNAMED = """() => [...document.querySelectorAll("button, input, select, textarea, a, [role=slider]")].filter((one) => {
    const label = one.closest("label") ?? (one.id && document.querySelector(`label[for="${one.id}"]`));
    return !(one.getAttribute("aria-label") || one.textContent.trim() || label?.textContent.trim());
}).map((one) => one.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views_fit_and_have_names(open_page: Callable[..., Any], recording: str, width: int, scheme: str) -> None:
    """No view is wider than the screen; each control has a name; text stands out from the page (WCAG AA)."""
    page = open_page("", width, color_scheme=scheme)
    for address, shown in (("#/recordings", "table.recordings"), (f"#/edit/{recording}", ".segments textarea")):
        page.evaluate("(address) => (location.hash = address)", address)
        page.locator(shown).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(UNNAMED) == []
        colours = page.evaluate("""() => {
            const style = getComputedStyle(document.documentElement);
            const names = ["paper", "field", "doubt-paper", "ink", "faint", "accent", "wrong", "good"];
            return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
        }""")
        for ink in ("ink", "faint", "accent", "wrong", "good"):
            for paper in ("paper", "field"):
                assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        assert contrast(colours["ink"], colours["doubt-paper"]) >= 4.5
    doubt = page.locator(".doubt").first
    assert "underline" in doubt.evaluate("(one) => getComputedStyle(one).textDecorationLine")
    assert "two" in field(page, 0).get_attribute("aria-label")


def contrast(one: str, other: str) -> float:
    """The contrast of two colours `#rrggbb`, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_without_a_folder_one_recording_is_transcribed(browser: Any, serving_folder: Path, tmp_path: Path) -> None:
    with served(serving_folder / "two.onnx") as running:
        page = browser.new_page()
        page.goto(running.url)
        page.get_by_label("Open a recording").set_input_files(serving_folder / "7.wav")
        text = page.locator(".lines").inner_text()
        assert text.strip()
        assert page.get_by_text("null").count() == 0
        with page.expect_download() as download:
            page.get_by_role("button", name="Subtitles (.srt)").click()
        assert download.value.suggested_filename == "7.srt"
        download.value.save_as(tmp_path / "7.srt")
        assert "-->" in (tmp_path / "7.srt").read_text(encoding="utf-8")
        assert page.get_by_role("link", name="Train").count() == 0
        page.close()
