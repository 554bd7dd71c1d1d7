"""Comparison of programs that run one model: PyTorch, the exported file in 32 and 8 bits, and sherpa-onnx.

    python bench/runtime.py MODEL MANIFEST [--recordings N] [--peers PYTHON]

Prints a JSON line for each: texts equal to PyTorch's best path, real-time factor on one thread (recordings one by one,
the programs in turns), processor seconds and memory of one cold `asr transcribe` of the first recording, and the size
of the model. sherpa-onnx needs the package `sherpa-onnx`, and a model of 16 kHz. For scale, `--peers` names the Python
of an environment with `pocketsphinx`, whose English model transcribes the recordings too, right or wrong.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import soundfile
import torch

from asr.audio import load_audio
from asr.corpus.manifest import read_manifest
from asr.exporting.export import export
from asr.exporting.sherpa import export_for_sherpa
from asr.recognition.recognizer import load
from asr.runtime.recognizer import ExportedRecognizer

_ROUNDS = 3
_PEER = """
import sys, time, wave
from pocketsphinx import Decoder
decoder = Decoder(samprate=16000)
begin = time.process_time()
for path in sys.argv[1:]:
    with wave.open(path) as file:
        samples = file.readframes(file.getnframes())
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
print(time.process_time() - begin)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--recordings", type=int, default=200, help="recordings to transcribe (default: 200)")
    parser.add_argument("--peers", type=Path, help="the Python of an environment with pocketsphinx")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load(arguments.model, "cpu")
    model.decoder = None
    rate = model.sample_rate
    utterances = read_manifest(arguments.manifest)[: arguments.recordings]
    waveforms = [load_audio(u.audio, rate, offset=u.offset, duration=u.duration) for u in utterances]
    references = [model.normalizer(utterance.text or "") for utterance in utterances]
    seconds = sum(map(len, waveforms)) / rate
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save(folder / "model.safetensors")
        files = {"pytorch": folder / "model.safetensors"}
        programs: dict[str, Callable[[np.ndarray], str]] = {"pytorch": lambda one: model.recognize([one])[0]}
        for label, int8 in (("onnx", False), ("onnx int8", True)):
            files[label] = folder / f"{label}.onnx"
            export(model, files[label], waveforms=waveforms, texts=references, int8=int8, force=True, report=_tell)
            runtime = ExportedRecognizer.load(files[label], threads=1)
            programs[label] = lambda one, runtime=runtime: runtime.recognize([one])[0]  # type: ignore[misc]
        if find_spec("sherpa_onnx") is not None and rate == 16000:
            export_for_sherpa(model, folder / "sherpa", waveforms=waveforms, report=_tell)
            files["sherpa-onnx"] = folder / "sherpa" / "model.onnx"
            programs["sherpa-onnx"] = _sherpa(folder / "sherpa")
        texts: dict[str, list[str]] = {
            label: [program(one) for one in waveforms] for label, program in programs.items()
        }
        spent = {label: [0.0] * _ROUNDS for label in programs}
        for number in range(_ROUNDS):
            for label, program in programs.items():
                begin = time.process_time()
                for one in waveforms:
                    program(one)
                spent[label][number] = time.process_time() - begin
        soundfile.write(folder / "first.wav", waveforms[0], rate)
        for label in programs:
            equal = sum(one == other for one, other in zip(texts["pytorch"], texts[label], strict=True))
            line = {
                "bench": "runtime",
                "program": label,
                "texts_equal": f"{equal}/{len(waveforms)}",
                "real_time_factor": round(min(spent[label]) / seconds, 5),
                "model_mb": round(files[label].stat().st_size / 1e6, 1),
            }
            if label != "sherpa-onnx":
                line |= _cold(files[label], folder / "first.wav")
            print(json.dumps(line), flush=True)
        if arguments.peers:
            paths = []
            for index, waveform in enumerate(waveforms):
                paths.append(folder / f"{index}.wav")
                soundfile.write(paths[-1], waveform, rate, subtype="PCM_16")
            done = subprocess.run(
                [arguments.peers, "-c", _PEER, *paths], capture_output=True, text=True, check=True
            ).stdout
            factor = round(float(done.split()[-1]) / seconds, 5)
            print(json.dumps({"bench": "runtime", "program": "pocketsphinx (English)", "real_time_factor": factor}))


def _sherpa(folder: Path) -> Callable[[np.ndarray], str]:
    import sherpa_onnx

    program = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
        model=str(folder / "model.onnx"), tokens=str(folder / "tokens.txt"), num_threads=1
    )

    def recognize(waveform: np.ndarray) -> str:
        stream = program.create_stream()
        stream.accept_waveform(16000, waveform)
        program.decode_stream(stream)
        return " ".join(unicodedata.normalize("NFC", stream.result.text).split())

    return recognize


def _cold(model: Path, recording: Path) -> dict[str, float]:
    """Return the least processor seconds and the most memory of three calls of the command line."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], capture_output=True, check=True);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "asr", "transcribe", str(model), str(recording)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(_ROUNDS)]
    return {
        "first_word_s": round(min(float(seconds) for seconds, _ in runs), 2),
        "memory_mb": round(max(int(kilobytes) for _, kilobytes in runs) / 1000),
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
