"""The exported page, in a headless browser: its texts, its search and its streams are those of the library."""

import base64
import functools
import http.server
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import soundfile
import soxr
import torch
from conftest import RATE, fresh_recognizer, spell, train_config
from oracles import random_waveforms
from test_beam import random_log_probs
from test_estimate import random_text
from test_longform import read_from, restless, talk
from test_neural import random_lm
from test_speech import music, session
from test_stream import chunks, streaming
from typer.testing import CliRunner

from asr.audio import load_audio
from asr.classifier import Classifier
from asr.cli import app
from asr.config import Config
from asr.decoding.beam import Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.fusion import Weights
from asr.errors import AsrError, ConfigError
from asr.exporting.onnx import to_onnx
from asr.exporting.web import decoder_tensors, describe, export_page
from asr.lm.estimate import estimate
from asr.recognition.longform import Piece, cut
from asr.recognition.recognizer import Recognizer
from asr.recognition.speech import find_speech
from asr.recognition.steady import is_steady
from asr.recognition.stream import Stream
from asr.recognition.trained_lengths import PieceLengths, TrainedLengths, piece_lengths
from asr.runtime.session import Session
from asr.text import Normalizer, Units
from asr.training.train import train


class Quiet(http.server.SimpleHTTPRequestHandler):
    """The server of `python -m http.server`, without its log."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Path], str]]:
    """Return a function that serves a folder on a free port, and returns the address."""
    servers = []

    def start(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recognizer, Path]:
    """A recogniser with random weights, n-grams and trained lengths, and the folder of its page."""
    recognizer = fresh_recognizer()
    recognizer.trained_lengths = TrainedLengths(longest=6.0, pause=0.4)
    text = random_text(3, 40, "abc")
    models = (estimate(text, order=3).model, estimate(text, order=4, units="characters").model)
    recognizer.decoder = Decoder(recognizer.units, *models, weights=Weights(lm=0.5, word=0.3, unknown=-1.0, blank=0.2))
    folder = tmp_path_factory.mktemp("page")
    export_page(recognizer, folder, waveforms=[bursts(2)], report=lambda line: None)
    return recognizer, folder


@pytest.fixture(scope="module")
def address(exported: tuple[Recognizer, Path], serve: Callable[[Path], str]) -> str:
    return serve(exported[1])


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page of `exported`, ready; the test fails if a script fails or if the page leaves its address."""
    opened = browser.new_page(viewport={"width": 390, "height": 800})
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda request: errors.extend([] if request.url.startswith(address) else [request.url]))
    opened.on("requestfailed", lambda request: errors.append(request.url))
    opened.goto(address)
    opened.locator("#app").wait_for()
    yield opened
    opened.close()
    assert errors == []


@pytest.fixture(scope="module")
def modules(browser: Any, address: str) -> Any:
    """A tab at the address of `exported` that runs nothing by itself, to call functions of the page's modules."""
    opened = browser.new_page()
    opened.goto(f"{address}/onnxruntime/LICENSE.txt")
    return opened


def run(tab: Any, function: str, *arguments: Any) -> Any:
    """Call a function of JavaScript; it gets arrays as Float32Array, which travel as text, and quickly."""
    text = json.dumps(arguments, default=lambda array: {"float32": base64.b64encode(np.float32(array)).decode()})
    return json.loads(
        tab.evaluate(
            f"""async (text) => {{
                const revived = (key, value) => value?.float32 === undefined ? value
                    : new Float32Array(Uint8Array.from(atob(value.float32), (one) => one.charCodeAt(0)).buffer);
                return JSON.stringify(await ({function})(...JSON.parse(text, revived)));
            }}""",
            text,
        )
    )


def shown(page: Any) -> list[str]:
    """The text of each sound, once the page has done its work."""
    page.locator("#status", has_text="Done.").wait_for()
    return [text.strip() for text in page.locator("article .final").all_inner_texts()]


def write(folder: Path, waveforms: list[np.ndarray]) -> list[Path]:
    paths = [folder / f"{number}.wav" for number in range(len(waveforms))]
    for path, waveform in zip(paths, waveforms, strict=True):
        soundfile.write(path, waveform, RATE, subtype="PCM_16")
    return paths


def bursts(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise of changing level with pauses, for a model with random weights."""
    generator = np.random.default_rng(seed)
    level = np.repeat(generator.choice([0.0005, 0.05, 0.2], round(seconds / 0.4) + 1), round(0.4 * RATE))
    return (level * generator.uniform(-1, 1, len(level)))[: round(seconds * RATE)].astype(np.float32)


def test_recordings_get_the_texts_of_transcribe(exported: tuple[Recognizer, Path], page: Any, tmp_path: Path) -> None:
    """Short ones, a steady one, one of stereo, and one so long that it is cut; by best path and with n-grams."""
    recognizer, _ = exported
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, RATE).astype(np.float32)
    stereo = np.stack([bursts(2, 8), bursts(2, 9)], axis=1)
    paths = write(
        tmp_path, [*(bursts(length, 3) for length in (0.1, 1.7, 5)), noise, stereo, bursts(95), talk(3, 9, 0.5)]
    )
    for language_model in (True, False):
        page.get_by_role("checkbox", name="Use the language model").set_checked(language_model)
        page.get_by_label("Open recordings").set_input_files(paths)
        expected = [recognizer.transcribe(path, language_model=language_model).text for path in paths]
        assert shown(page) == expected and sum(map(bool, expected)) > 3
        page.get_by_role("button", name="Clear").click()
    assert page.locator("article").count() == 0


def test_a_recording_is_dropped_seen_and_copied(exported: tuple[Recognizer, Path], page: Any, tmp_path: Path) -> None:
    (path,) = write(tmp_path, [bursts(2)])
    page.evaluate(
        """async (bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "<b>one</b>.wav"));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        list(path.read_bytes()),
    )
    text = exported[0].transcribe(path).text
    assert shown(page) == [text] and page.locator("article h3").inner_text() == "<b>one</b>.wav"
    page.get_by_role("img", name="Spectrogram of 2.0 seconds, and below it the posterior").wait_for()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").press("Enter")
    page.locator("#status", has_text="Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_what_is_wrong_is_said(browser: Any, page: Any, exported: tuple[Recognizer, Path], tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("no sound")
    (good,) = write(tmp_path, [bursts(1)])
    page.get_by_label("Open recordings").set_input_files([tmp_path / "letter.wav", good])
    assert len(shown(page)) == 1
    assert "letter.wav is no recording that this browser can read" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("alert").filter(has_text=re.compile("permission|No microphone")).wait_for()
    opened = browser.new_page()
    opened.goto((exported[1] / "index.html").as_uri())
    opened.get_by_text("python3 -m http.server").wait_for()
    assert not opened.locator("#app").is_visible()
    opened.close()


def test_a_file_that_the_server_lacks_is_named(
    browser: Any, exported: tuple[Recognizer, Path], serve: Callable[[Path], str], tmp_path: Path
) -> None:
    (tmp_path / "page").symlink_to(exported[1] / "page")
    (tmp_path / "onnxruntime").symlink_to(exported[1] / "onnxruntime")
    for name in ("index.html", "model.json"):
        (tmp_path / name).write_bytes((exported[1] / name).read_bytes())
    opened = browser.new_page()
    opened.goto(serve(tmp_path))
    opened.get_by_role("alert").filter(has_text="model.onnx cannot be loaded: the server answers 404").wait_for()
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_needs_no_mouse(browser: Any, address: str, tmp_path: Path, scheme: str) -> None:
    opened = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    opened.goto(address)
    opened.locator("#app").wait_for()
    (path,) = write(tmp_path, [bursts(9)])
    long = path.rename(tmp_path / ("long" * 40 + ".wav"))
    opened.get_by_label("Open recordings").set_input_files(long)
    shown(opened)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    ink, paper = opened.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert (brightness[0] > brightness[1]) == (scheme == "dark")
    names = []
    opened.evaluate("document.activeElement.blur()")
    for _ in range(5):
        opened.keyboard.press("Tab")
        names.append(opened.evaluate("document.activeElement.id"))
    assert names == ["record", "files", "use", "copy", "clear"]
    opened.close()


VARIANTS: list[dict[str, Any]] = [
    {},
    {"words": True},
    {"characters": True},
    {"words": True, "characters": True},
    {"words": True, "closed": True},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(variant) or "none")
def test_the_search_finds_the_hypotheses_of_ours(
    variant: dict[str, Any], exported: tuple[Recognizer, Path], modules: Any
) -> None:
    """50 utterances of random log-probabilities, flat and sharp, with beams of several widths; ties too."""
    units = Units(" abcdefg")
    text = random_text(1, 60, "abcdefgh")
    spelled = [" ".join(word * 2 if word < "d" else word for word in line.split() if word != "h") for line in text]
    decoder = Decoder(
        units,
        estimate(spelled, order=3).model if "words" in variant else None,
        estimate(spelled, order=5, units="characters").model if "characters" in variant else None,
        closed="closed" in variant,
        weights=Weights(lm=0.8, word=0.6, unknown=-0.5, blank=0.3),
    )
    utterances = [random_log_probs(seed, 40, 9, 1 + seed % 4) for seed in range(48)]
    utterances += [np.log(np.full((6, 9), 1 / 9, np.float32)), np.full((3, 9), -np.inf, np.float32)]
    (exported[1] / "other.safetensors").write_bytes(safetensors.numpy.save(decoder_tensors(decoder)))
    for pruning in (Pruning(), Pruning(width=3, units=2, min_log_prob=-3.0, margin=5.0)):
        ours = decoder.using(pruning=pruning)
        described = describe(exported[0], ours)["decoder"]
        found = run(
            modules,
            """async (decoder, utterances) => {
                const [{ BeamSearch }, { Fusion }, { Frames }, { readTensors }] = await Promise.all(
                    ["beam", "ngrams", "frames", "tensors"].map((name) => import(`/page/${name}.js`)));
                const answer = await fetch("/other.safetensors", { cache: "no-store" });
                const arrays = readTensors(await answer.arrayBuffer());
                const fusion = new Fusion(decoder, arrays);
                return utterances.map((rows) => {
                    const frames = new Frames(rows, 9);
                    const [search, parts] = [1, 2].map(() => new BeamSearch(fusion, decoder.pruning));
                    search.feed(frames);
                    for (let row = 0; row < frames.length; row++) parts.feed(frames.slice(row, row + 1));
                    return [search.best(), parts.best()];
                });
            }""",
            described,
            utterances,
        )
        expected = [list(hypothesis.units) for hypothesis in ours.decode(utterances)]
        assert found == [[one, one] for one in expected] and len(set(map(tuple, expected))) > 40


@pytest.mark.parametrize("options", [{"subsampling": 3}, {"cell": "gru", "subsampling": 4}, {"frontend": "stack"}])
def test_a_stream_gives_the_log_probabilities_of_the_whole(
    options: dict[str, Any], browser: Any, serve: Callable[[Path], str], tmp_path: Path
) -> None:
    """The browser's stream, at chunks of any size; and its live text, of chunks at another rate, is that of ours."""
    recognizer = streaming(**options)
    samples = np.round(bursts(4) * 32768).astype(np.float32) / np.float32(32768)
    export_page(recognizer, tmp_path, waveforms=[samples], report=lambda line: None)
    opened = browser.new_page()
    opened.goto(serve(tmp_path))
    sizes = [[1, 37, 0, 160, 1000], [400], [50_000]]
    found = run(
        opened,
        """async (samples, sizes) => {
            const { Recognizer } = await import("/page/recognizer.js");
            const { AcousticStream } = await import("/page/stream.js");
            const recognizer = await Recognizer.load();
            const results = [];
            for (const list of sizes) {
                const stream = new AcousticStream(recognizer.session, recognizer.model.stream);
                const live = recognizer.live(recognizer.model.sample_rate, true);
                const [parts, lines] = [[], []];
                for (let place = 0, turn = 0; place < samples.length; turn++) {
                    const chunk = samples.subarray(place, place + list[turn % list.length]);
                    place += chunk.length;
                    const frames = await stream.feed(chunk, place === samples.length);
                    if (frames) parts.push(...frames.values);
                    for await (const { final } of live.feed(chunk, place === samples.length)) lines.push(...final);
                }
                results.push([parts, lines.join(" ")]);
            }
            return results;
        }""",
        samples,
        sizes,
    )
    opened.close()
    (expected,) = Session(to_onnx(recognizer)).log_probs([samples])
    stream = Stream(recognizer)
    for chunk in chunks(samples, 1000):
        stream.feed(chunk)
    text = stream.finish().text
    assert text
    for log_probs, line in found:
        np.testing.assert_allclose(np.reshape(log_probs, expected.shape), expected, atol=1e-4)
        assert line == text


def test_steady_sounds_are_those_of_ours(modules: Any) -> None:
    noise = (0.1 * np.random.default_rng(2).standard_normal(2 * RATE)).astype(np.float32)
    sounds = [*random_waveforms(3, 4), noise, np.zeros(RATE, np.float32), noise[:100], noise[:1], bursts(3), bursts(40)]
    found = run(
        modules,
        """async (sounds, rate) => {
            const { isSteady } = await import("/page/steady.js");
            return sounds.map((sound) => isSteady(sound, rate));
        }""",
        sounds,
        RATE,
    )
    assert found == [is_steady(sound, RATE) for sound in sounds] and len(set(found)) == 2


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_speech_is_found_where_ours_finds_it(rate: int, modules: Any) -> None:
    """The same samples, alone and under noise, hum, music and an offset; at rates whose frames are no power of two."""
    clear, _ = session(rate, count=8)
    time = np.arange(len(clear)) / rate
    others = [
        0 * time,
        0.03 * np.random.default_rng(1).standard_normal(len(time)),
        0.1 * sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 9)),
        0.008 * music(len(time), rate),
        0 * time + 0.5,
    ]
    sounds = [np.float32(clear + other) for other in others]
    sounds += [clear[: rate * 3 // 100], np.zeros(rate), restless(3), np.tile([0, 1e-4], rate)]
    found = run(
        modules,
        """async (sounds, rate) => {
            const { findSpeech } = await import("/page/speech.js");
            return sounds.map((sound) => findSpeech(sound, rate));
        }""",
        sounds,
        rate,
    )
    assert found == [[list(span) for span in find_speech(np.float32(sound), rate)] for sound in sounds]
    assert min(map(len, found[: len(others)])) >= 8 and [] in found


def test_recordings_are_cut_as_by_ours(modules: Any) -> None:
    """Pauses, none of them, only short ones, long silence, and recordings of several parts."""
    pause = np.zeros(25 * RATE)
    mixed = np.concatenate([talk(3, 30, 0.3), pause, restless(50), talk(4, 15, 2.0), np.tile(pause, 4), talk(5, 2, 1)])
    sounds = [np.float32(sound) for sound in (mixed, restless(130.3), bursts(95, 4), talk(6, 5, 0.7), mixed[:4000])]
    sounds += [np.zeros(0, np.float32), np.zeros(150 * RATE, np.float32)]
    usual = piece_lengths(None, utterance=False)
    lengths = [usual, *(PieceLengths(whole, whole, pause) for whole, pause in ((6.3, 0.5), (1.0, 0.1), (7.0, 10.0)))]
    found = run(
        modules,
        """async (sounds, rate, stride, lengths) => {
            const { cut } = await import("/page/cut.js");
            return sounds.flatMap((sound) => lengths.map((one) => [...cut(sound, rate, stride, one)]));
        }""",
        sounds,
        RATE,
        320,
        [asdict(one) for one in lengths],
    )
    for (sound, one), pieces in zip(itertools.product(sounds, lengths), found, strict=True):
        *expected, _ = cut(read_from(sound), len(sound) / RATE, sample_rate=RATE, stride=320, lengths=one)
        assert len(pieces) == len(expected)
        for ours, theirs in zip(expected, pieces, strict=True):
            assert isinstance(ours, Piece)
            assert (ours.start, ours.pause) == (theirs["start"], theirs["pause"])
            assert [ours.keep.start or 0, ours.keep.stop] == theirs["keep"]
            np.testing.assert_array_equal(sound[theirs["first"] : theirs["end"]], ours.samples)
    assert sum(map(len, found)) > 300


def test_the_fourier_transform_of_any_size(modules: Any) -> None:
    generator = np.random.default_rng(6)
    numbers = [generator.standard_normal((2, size)) for size in (1, 2, 3, 256, 353, 706, 1411)]
    found = run(
        modules,
        """async (numbers) => {
            const { fourier } = await import("/page/fourier.js");
            return numbers.map(([real, imaginary]) => {
                const bins = Math.ceil(real.length / 2);
                const transform = fourier(real.length, bins);
                const again = [Float64Array.from(real), Float64Array.from(imaginary)];
                transform(Float64Array.from(imaginary), Float64Array.from(real));
                transform(...again);
                return again.map((part) => [...part.subarray(0, bins)]);
            });
        }""",
        [one.tolist() for one in numbers],
    )
    for (real, imaginary), (cosines, sines) in zip(numbers, found, strict=True):
        expected = np.fft.fft(real + 1j * imaginary)[: len(cosines)]
        np.testing.assert_allclose(np.array(cosines) + 1j * np.array(sines), expected, atol=1e-10)


def test_pauses_of_live_sound(modules: Any) -> None:
    """Pauses of at least 0.3 s, with borders of 20 ms; silence is one pause, and sound without a pause has none."""
    noise = 0.1 * np.random.default_rng(2).standard_normal(RATE)
    parts = [0.001 * noise, noise, 0.001 * noise[: RATE // 4], noise, 0.003 * noise[: RATE // 2], noise]
    sounds = [np.concatenate(parts), np.zeros(RATE + 5), noise, noise[:0], 1e-3 * noise[:1000]]
    found = run(
        modules,
        """async (sounds, rate) => {
            const { pauses } = await import("/page/utterances.js");
            return sounds.map((sound) => pauses(sound, rate));
        }""",
        [np.float32(sound) for sound in sounds],
        RATE,
    )
    (first, second), *rest = found
    assert np.array([first, second]) / RATE == pytest.approx(np.array([[0, 1], [3.25, 3.75]]), abs=0.02)
    assert rest == [[[0, RATE + 5]], [], [], []]


def test_live_utterances_lose_no_speech(modules: Any) -> None:
    """Utterances between pauses come whole, in their order, at any chunking; silence gives none."""
    generator = np.random.default_rng(4)

    def quiet(seconds: float) -> np.ndarray:
        return 0.003 * generator.standard_normal(round(seconds * RATE))

    parts = [quiet(5), spell("abc", generator), quiet(1), spell("ca", generator), quiet(0.2), spell("b", generator)]
    end = [spell("abcabc" * 40, generator), quiet(1), 0.02 * spell("a", generator), quiet(0.1)]  # far below speech
    sound = np.concatenate([*parts, quiet(0.9), *end]).astype(np.float32)
    found = run(
        modules,
        """async (sound, rate) => {
            const { Utterances } = await import("/page/utterances.js");
            return [1000, 4096].map((size) => {
                const utterances = new Utterances(rate);
                const given = [];
                for (let place = 0; place < sound.length; place += size) {
                    given.push(...utterances.feed(sound.slice(place, place + size), place + size >= sound.length));
                }
                return given.map(({ start, samples }) => [start / rate, samples.length / rate]);
            });
        }""",
        sound,
        RATE,
    )
    for given in found:
        (first, one), (second, two), *rest = given
        assert first == pytest.approx(4.9, abs=0.15) and one == pytest.approx(0.8, abs=0.25)
        assert second == pytest.approx(6.44, abs=0.15) and two == pytest.approx(0.94, abs=0.25)
        assert sum(seconds for _, seconds in rest) == pytest.approx(240 * 0.18, abs=0.3)
        assert max(seconds for _, seconds in rest) <= 31


def test_sound_is_resampled_as_by_soxr(modules: Any) -> None:
    """Tones below the cutoff pass, tones above it vanish; the size of chunks changes nothing."""
    for rate, new_rate in ((48000, 16000), (44100, 8000), (8000, 16000), (16000, 16000)):
        times = np.arange(rate + 5) / rate
        frequencies = (100, 0.4 * min(rate, new_rate), *((0.55 * new_rate,) if rate > new_rate else ()))
        tones = [0.5 * np.sin(2 * np.pi * frequency * times) for frequency in frequencies]
        found = run(
            modules,
            """async (tones, rate, newRate) => {
                const { Resampler } = await import("/page/resample.js");
                const resampled = (tone, size) => {
                    const resampler = new Resampler(rate, newRate);
                    const given = [];
                    for (let place = 0; place < tone.length; place += size) {
                        given.push(...resampler.feed(tone.slice(place, place + size)));
                    }
                    return [...given, ...resampler.feed(new Float32Array(0), true)];
                };
                return tones.map((tone) => [resampled(tone, 997), resampled(tone, tone.length)]);
            }""",
            tones,
            rate,
            new_rate,
        )
        inside = slice(new_rate // 10, -new_rate // 10)  # tones begin and end in a jump, where filters ring
        for tone, (parts, whole) in zip(tones, found, strict=True):
            expected = soxr.resample(tone, rate, new_rate)
            assert parts == whole and len(whole) == len(expected)
            np.testing.assert_allclose(np.array(whole)[inside], expected[inside], atol=2e-4)


def test_the_picture_is_of_the_fourier_transform(modules: Any) -> None:
    sound = bursts(1)
    found = run(
        modules,
        """async (samples, rate) => {
            const { Spectrogram } = await import("/page/spectrum.js");
            const spectrogram = new Spectrogram({ rate, top: rate / 2, step: 0.1 });
            return [0, 4, 10].map((index) => spectrogram.column(index, samples, 0));
        }""",
        sound,
        RATE,
    )
    window = np.sin(np.pi * (np.arange(200) + 0.5) / 200) ** 2
    spectrum = np.abs(np.fft.rfft(sound[3600 - 100 :][:200] * window, 256)) ** 2
    levels = 10 * np.log10(spectrum[:128] + 1e-10)
    np.testing.assert_allclose(list(found[1].values()), levels, atol=1e-2)
    assert found[2] is None


def test_recordings_of_other_rates_are_those_of_ours(modules: Any, tmp_path: Path) -> None:
    """WAV and FLAC of any rate, one and two channels, as the library loads them."""
    for suffix, rate, channels in (("wav", 44100, 2), ("flac", 22050, 1), ("wav", 8000, 1), ("wav", 11025, 1)):
        path = tmp_path / f"{rate}.{suffix}"
        sound = np.stack([soxr.resample(bursts(1, seed), RATE, rate) for seed in range(channels)], axis=1)
        soundfile.write(path, sound, rate, subtype="PCM_16")
        found = run(
            modules,
            """async (bytes, rate) => {
                const [{ decodeRecording }, { prepared }] =
                    await Promise.all([import("/page/sound.js"), import("/page/resample.js")]);
                const { samples, rate: own } = await decodeRecording(new File([new Uint8Array(bytes)], "a"));
                return [own, [...prepared(samples, own, rate)]];
            }""",
            list(path.read_bytes()),
            RATE,
        )
        assert found[0] == rate
        expected = load_audio(path, RATE, channel="mix")
        assert len(found[1]) == len(expected) and np.std(found[1] - expected) < 0.02 * np.std(expected)


NASTY = [
    "", " a  b\t\nc ", "Don’t 'stop' – İIıi", "e\u0301 \u00e9 \ufeff\u200bx\u00ad", "˥a ꞊ a^b ` ´ ¨", "ΣΑΣ. Ǆ ẞ",
    "a'b 'c d' '", "1.5 % – „x“ …", "\u0915\u094d\u200d\u0937 शान्ति।", "한글 ㈜", "a\x1cb\x85c", "😀 a😀b", "x-y’z_",
    "‐-",
]  # fmt: skip


@pytest.mark.parametrize("lower", [False, True, "turkic"])
def test_text_is_normalised_as_ours(lower: Any, modules: Any) -> None:
    for strip, keep in ((False, "'"), (True, "'"), (True, "-_'")):
        settings = {"lower": lower, "strip_punctuation": strip, "keep_inside_words": keep}
        found = run(
            modules,
            """async (texts, settings) => {
                const { normalised } = await import("/page/text.js");
                return texts.map((text) => normalised(text, settings));
            }""",
            NASTY,
            settings,
        )
        assert found == [Normalizer(**settings)(text) for text in NASTY]


def test_what_the_page_cannot_do_is_said(tmp_path: Path) -> None:
    settings = fresh_recognizer().config.model_dump()
    settings["features"]["equalize"] = True
    with pytest.raises(ConfigError, match="equalised"):
        export_page(Recognizer(Config.model_validate(settings), Units("ab")), tmp_path / "page")
    assert not (tmp_path / "page").exists()
    recognizer = fresh_recognizer()
    recognizer.decoder = Decoder(recognizer.units).fusing(random_lm(characters="abc"))
    lines: list[str] = []
    export_page(recognizer, tmp_path / "page", waveforms=[bursts(2)], report=lines.append)
    assert any("leaves the recurrent language model out" in line for line in lines)
    assert not (tmp_path / "page" / "decoder.safetensors").exists()


def test_the_command_writes_equal_bytes_and_no_paths(tmp_path: Path) -> None:
    recognizer = fresh_recognizer()
    recognizer.save(tmp_path / "model.safetensors")
    export_page(recognizer, tmp_path / "one", report=lambda line: None)
    result = CliRunner().invoke(app, ["export", str(tmp_path / "model.safetensors"), "--web", str(tmp_path / "two")])
    assert result.exit_code == 0 and "show it with: python3 -m http.server" in result.stderr
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")}
    assert {"index.html", "model.onnx", "model.json"} <= {str(path) for path in files}
    for path in files:
        content = (tmp_path / "one" / path).read_bytes()
        assert content == (tmp_path / "two" / path).read_bytes()
        assert b"t.jsonl" not in content  # the configuration names folders of the computer that trained


def test_wrong_calls(tmp_path: Path) -> None:
    fresh_recognizer().save(tmp_path / "model.safetensors")
    for options in ((), ("-o", tmp_path / "m.onnx", "--web", tmp_path), ("--web", tmp_path, "--for", "sherpa-onnx")):
        with pytest.raises(AsrError, match="--web FOLDER"):
            app(["export", str(tmp_path / "model.safetensors"), *map(str, options)], standalone_mode=False)
    config = fresh_recognizer().config.model_copy(update={"task": "classification"})
    Classifier(config, ["x", "y"]).save(tmp_path / "classes.safetensors")
    with pytest.raises(AsrError, match="the page runs recognisers; this is a classification model"):
        app(["export", str(tmp_path / "classes.safetensors"), "--web", str(tmp_path / "p")], standalone_mode=False)


@pytest.mark.slow
@pytest.mark.parametrize("streams", [False, True], ids=["whole utterances", "streams"])
def test_the_microphone(
    streams: bool, chromium: Callable[..., Any], serve: Callable[[Path], str], tones: Path, tmp_path: Path
) -> None:
    """A trained model writes what a fake microphone plays, live."""
    config = train_config(tones)
    if streams:
        changes = {"model": {"bidirectional": False}, "features": {"level": "running"}}
        sections = {name: getattr(config, name).model_copy(update=values) for name, values in changes.items()}
        config = config.model_copy(update=sections)
    torch.manual_seed(0)
    export_page(train(config, tmp_path / "run"), tmp_path / "page", report=lambda line: None)
    generator = np.random.default_rng(5)
    quiet = [0.003 * generator.standard_normal(round(seconds * RATE)) for seconds in (0.5, 1.6, 1.6)]
    parts = [spell("b", generator), quiet[0], spell("abcab", generator), quiet[1], spell("ccb", generator), quiet[2]]
    (path,) = write(tmp_path, [np.concatenate(parts)])
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    opened = chromium(*flags, f"--use-file-for-fake-audio-capture={path}%noloop").new_page()
    opened.goto(serve(tmp_path / "page"))
    opened.get_by_role("button", name="Record", exact=True).click()
    opened.locator("article .final", has_text="ccb").wait_for()
    assert opened.get_by_role("button", name="Stop").is_visible()
    opened.get_by_role("button", name="Stop").click()
    (text,) = shown(opened)
    assert "abcab ccb" in text
    assert opened.get_by_role("button", name="Record", exact=True).is_enabled()
