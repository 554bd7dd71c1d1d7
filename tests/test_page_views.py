"""The views that record prompts, train, and say what comes next, in a headless browser, on the real service."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import PATIENCE, RATE, spell, until

from asr.corpus.manifest import read_manifest

pytest.importorskip("fastapi", reason="needs the extra serve")

import uvicorn

from asr.serving.app import make_app
from asr.serving.engine.engine import Engine
from asr.serving.limits import Limits
from asr.serving.service import Service

HEARING = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
SENTENCES = ["Nĩ kĩĩ ũreka?", "שלום עליכם, מה שלומך היום?", "one <b>two</b> & three"]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder without a model on a free port; return the address."""
    limits = Limits()
    app = make_app(Service(Engine({}, limits=limits), limits, folder))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the service did not start")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "village talks"
    made.mkdir()
    return made


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with served(folder) as found:
        yield found


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech for the fake microphone: tones that spell letters, at the level of speech."""
    generator = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    soundfile.write(path, np.concatenate([spell("abcab" * 6, generator) for _ in range(6)]), RATE, subtype="PCM_16")
    return path


@pytest.fixture
def open_page(address: str) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a view; a test fails if a script fails or if the page leaves its address."""
    errors: list[str] = []
    with ExitStack() as opened:

        def show(browser: Any, view: str, width: int = 1280, colours: str = "light", script: str | None = None) -> Any:
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=colours)
            opened.callback(page.close)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on(
                "request",
                lambda request: errors.extend([] if request.url.startswith((address, "blob:")) else [request.url]),
            )
            if script:
                page.add_init_script(script)
            page.goto(f"{address}/#/{view}")
            page.get_by_role("heading", level=1).wait_for()
            return page

        yield show
    assert errors == []


def write_list(page: Any, sentences: list[str]) -> None:
    page.get_by_label("Prompts: one sentence a line").fill("\n".join(sentences))
    page.get_by_role("button", name="Save the list").click()
    page.locator(".prompt-text", has_text=sentences[0]).wait_for()


def record(page: Any, seconds: float = 1.0, end: str = " ") -> None:
    """Record a take by keyboard."""
    page.keyboard.press(" ")
    page.locator(".prompt.recording").wait_for()
    page.wait_for_timeout(1000 * seconds)
    page.keyboard.press(end)


def test_prompts_by_keyboard(
    chromium: Callable[..., Any], voice: Path, folder: Path, open_page: Callable[..., Any]
) -> None:
    """Each take is a recording of its prompt, and the page goes on where nothing is recorded yet."""
    browser = chromium(*HEARING, f"--use-file-for-fake-audio-capture={voice}")
    page = open_page(browser, "record")
    write_list(page, SENTENCES)
    record(page, end="Enter")
    page.locator(".prompt-text", has_text="שלום").wait_for()
    assert page.locator(".prompt-text").evaluate("(one) => getComputedStyle(one).direction") == "rtl"
    record(page)
    page.get_by_text(re.compile(r"Recorded, \d+\.\d s\.")).wait_for()
    page.get_by_text("2 of 3 recorded").wait_for()
    page.keyboard.press("p")
    page.wait_for_function("() => { const [one] = document.querySelectorAll('audio'); return one.currentTime > 0.2; }")
    page.reload()
    page.locator(".prompt-text", has_text=SENTENCES[2]).wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.locator(".prompt-text", has_text=SENTENCES[0]).wait_for()
    page.keyboard.press("p")  # now from the service
    page.wait_for_function("() => { const [one] = document.querySelectorAll('audio'); return one.currentTime > 0.2; }")
    utterances = read_manifest(folder / "prompts" / "prompts.jsonl")
    assert [utterance.text for utterance in utterances] == SENTENCES[:2]
    for utterance in utterances:
        samples, rate = soundfile.read(utterance.audio)
        assert 0.9 < len(samples) / rate < PATIENCE and np.abs(samples).max() > 0.2
        assert rate in (44100, 48000) and soundfile.info(utterance.audio).subtype == "PCM_16"


def test_a_repeated_take_replaces_none(
    chromium: Callable[..., Any], voice: Path, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(chromium(*HEARING, f"--use-file-for-fake-audio-capture={voice}"), "record", width=390)
    write_list(page, SENTENCES)
    for name in ("Record", "Record again"):
        page.get_by_role("button", name=name, exact=True).click()
        page.locator(".prompt.recording").wait_for()
        page.wait_for_timeout(800)
        page.get_by_role("button", name="Stop").click()
        page.get_by_text(re.compile(r"Recorded, \d\.\d s\.")).wait_for()
    assert {path.name for path in (folder / "prompts").glob("*.wav")} == {"0001.wav", "0001.take1.wav"}
    page.keyboard.press(" ")  # the keys are for the prompt, although a button was clicked before
    page.locator(".prompt.recording").wait_for()


def test_a_take_that_is_not_saved_is_kept(
    chromium: Callable[..., Any], voice: Path, folder: Path, open_page: Callable[..., Any]
) -> None:
    """It survives other views, can be written as a file, and is stored by another try."""
    page = open_page(chromium(*HEARING, f"--use-file-for-fake-audio-capture={voice}"), "record")
    write_list(page, SENTENCES)
    page.route("**/api/prompts/*/recording*", lambda route: route.abort())
    record(page, end="Enter")
    page.get_by_role("alert").filter(has_text="One recording is not saved.").wait_for()
    record(page, end="Enter")
    page.get_by_role("alert").filter(has_text="2 recordings are not saved.").wait_for()
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_role("heading", name="Train", level=1).wait_for()
    page.get_by_role("link", name="Prompts").click()
    page.get_by_role("alert").filter(has_text="2 recordings are not saved.").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as a file").first.click()
    assert soundfile.info(download.value.path()).duration > 0.9
    asked: list[str] = []

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.once("dialog", stay)
    with pytest.raises(Exception, match="ERR_ABORTED"):
        page.goto("about:blank")
    assert asked == ["beforeunload"]
    page.unroute("**/api/prompts/*/recording*")
    page.get_by_role("button", name="Try again").click()
    page.locator(".unsaved").wait_for(state="detached")
    page.get_by_text("2 of 3 recorded").wait_for()
    assert [utterance.text for utterance in read_manifest(folder / "prompts" / "prompts.jsonl")] == SENTENCES[:2]


@pytest.mark.parametrize(
    ("flags", "script", "message"),
    [
        (
            ["--use-fake-device-for-media-stream", "--deny-permission-prompts"],
            None,
            "The browser has no permission to use the microphone",
        ),
        ([], "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })", "--tls-cert"),
        (
            [],
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('x', 'NotFoundError'); }",
            "No microphone was found",
        ),
    ],
    ids=["refused", "no https", "missing"],
)
def test_why_there_is_no_microphone(
    flags: list[str], script: str | None, message: str, chromium: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    page = open_page(chromium(*flags), "record", script=script)
    write_list(page, SENTENCES)
    page.keyboard.press(" ")
    page.get_by_role("alert").filter(has_text=message).wait_for()
    assert page.get_by_role("button", name="Record", exact=True).is_enabled()


def test_warnings_of_a_take(chromium: Callable[..., Any], open_page: Callable[..., Any], tmp_path: Path) -> None:
    """What is wrong with a take is said in words straight after it."""
    generator = np.random.default_rng(0)
    speech = np.concatenate([spell("abcab" * 6, generator) for _ in range(6)])
    for name, sound, message in (
        ("quiet", 0.004 * speech, "very quiet"),
        ("loud", np.clip(8 * speech, -1, 1), "clipped"),
    ):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, sound, RATE, subtype="PCM_16")
        page = open_page(chromium(*HEARING, f"--use-file-for-fake-audio-capture={path}"), "record")
        page.locator(".prompt-form, .prompt").filter(visible=True).wait_for()
        if page.locator(".prompt-form").count():
            write_list(page, SENTENCES)
        record(page, seconds=1.5)
        page.locator(".warnings li", has_text=message).wait_for()


def test_the_list_is_loaded_and_changed(browser: Any, open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(browser, "record", width=390)
    (tmp_path / "latin.txt").write_bytes("ñandú".encode("latin-1"))
    (tmp_path / "list.txt").write_text("\ufeffa b\n\nc\u0301\n", encoding="utf-8")
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(tmp_path / "latin.txt")
    page.get_by_role("alert").filter(has_text="latin.txt is not in UTF-8").wait_for()
    page.get_by_role("button", name="Save the list").click()
    page.get_by_role("alert").filter(has_text="The list is empty").wait_for()
    chooser.set_input_files(tmp_path / "list.txt")
    page.get_by_role("button", name="Save the list").click()
    page.get_by_text("Prompt 1 of 2").wait_for()
    page.get_by_text("All prompts").click()
    page.get_by_role("button", name="Change the list").click()
    page.get_by_label("Prompts: one sentence a line").fill("a b\nd\ne")
    page.keyboard.press("p")  # a letter of the list, not a key of the view
    page.get_by_role("button", name="Save the list").click()
    page.get_by_text("Prompt 1 of 3").wait_for()
    assert page.locator(".prompt-line bdi").all_inner_texts() == ["a b", "d", "ep"]


@pytest.mark.parametrize("view", ["record", "train", "next"])
def test_views_fit_a_phone_and_have_names(view: str, browser: Any, open_page: Callable[..., Any]) -> None:
    """Nothing is wider than the screen, all that can be pressed has a name, and nothing lies over it."""
    page = open_page(browser, view, width=390, colours="dark")
    if view == "record":
        write_list(page, [*SENTENCES, "averylongwordwithoutanyspace" * 8])
        page.get_by_text("All prompts").click()
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    nameless = page.locator("button, a[href], input, select, textarea").evaluate_all(
        """(all) => all.filter((one) => one.checkVisibility() && !(one.textContent.trim() || one.labels?.length
            || one.getAttribute("aria-label"))).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    for button in page.locator("#view button:enabled:visible").all()[:20]:
        button.click(trial=True)
    heights = page.locator("#view button:visible").evaluate_all("(all) => all.map((one) => one.offsetHeight)")
    assert all(height >= 40 for height in heights)


def test_what_next_and_minutes_saved(browser: Any, folder: Path, open_page: Callable[..., Any]) -> None:
    """Recordings that nobody has checked are listed with a reason and lead to the editor."""
    page = open_page(browser, "next")
    page.get_by_text("Not measured yet").wait_for()
    assert page.locator(".ranking li").count() == 0
    generator = np.random.default_rng(0)
    soundfile.write(folder / "čaj & old man.wav", spell("abc", generator), RATE)
    page.reload()
    page.locator(".ranking li").wait_for()
    assert page.locator(".ranking li p").first.inner_text()
    page.locator(".ranking a").click()
    page.wait_for_url("**/#/edit/**")
    assert page.evaluate("decodeURIComponent(location.hash)") == "#/edit/čaj & old man.wav"
