"""Comparison of the exported page with the library: texts and speed, recording by recording, in headless Chromium.

    python bench/page.py MODEL MANIFEST [--int8]

Needs the package playwright, and Chromium on the PATH. Recordings are written as WAV at the sample rate of the model.
The page and the library, on one thread, transcribe each recording one after the other. Prints a JSON line for best
path, and one with language models if the model has any; `seconds_ratio` is the time of the page over the library's.
"""

import argparse
import functools
import http.server
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import soundfile
import torch
from playwright.sync_api import sync_playwright

from asr.audio import load_audio
from asr.corpus.manifest import read_manifest
from asr.exporting.web import export_page
from asr.recognition.recognizer import load

_TRANSCRIBE = """async ([path, languageModel]) => {
    const { decodeRecording } = await import("/page/sound.js");
    const { Recognizer } = await import("/page/recognizer.js");
    globalThis.recognizer ??= await Recognizer.load();
    const { samples, rate } = await decodeRecording(new File([await (await fetch(path)).blob()], path));
    const begin = performance.now();
    const texts = [];
    for await (const { text } of recognizer.transcribe(samples, rate, languageModel)) texts.push(text);
    return [texts.filter(Boolean).join(" "), (performance.now() - begin) / 1000];
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--int8", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recognizer = load(arguments.model, "cpu")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        waveforms = []
        for number, utterance in enumerate(read_manifest(arguments.manifest)):
            samples = load_audio(
                utterance.audio, recognizer.sample_rate, offset=utterance.offset, duration=utterance.duration
            )
            waveforms.append(samples)
            soundfile.write(folder / f"{number}.wav", samples, recognizer.sample_rate, subtype="PCM_16")
        export_page(recognizer, folder, waveforms=waveforms, int8=arguments.int8)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        page = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"]).new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/onnxruntime/LICENSE.txt")
        for language_model in (False, True) if recognizer.decoder else (False,):
            equal, ours, theirs = 0, 0.0, 0.0
            for number in range(-1, len(waveforms)):  # the first one warms both up, and is not counted
                path = f"{max(number, 0)}.wav"
                begin = time.perf_counter()
                expected = recognizer.transcribe(folder / path, language_model=language_model).text
                middle = time.perf_counter() - begin
                text, seconds = page.evaluate(_TRANSCRIBE, [f"/{path}", language_model])
                if number >= 0:
                    equal, ours, theirs = equal + (text == expected), ours + middle, theirs + seconds
            line = {"bench": "page", "language_model": language_model, "int8": arguments.int8, "equal_texts": equal}
            audio = sum(map(len, waveforms)) / recognizer.sample_rate
            line |= {"recordings": len(waveforms), "real_time_factor": round(theirs / audio, 4)}
            print(json.dumps({**line, "seconds_ratio": round(theirs / ours, 2)}), flush=True)
        server.shutdown()


if __name__ == "__main__":
    main()
