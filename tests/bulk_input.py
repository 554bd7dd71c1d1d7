"""An input for tests of bulk transcription: a model of random weights, and a manifest of which two lines fail."""

from dataclasses import replace
from pathlib import Path

import soundfile
from conftest import RATE, fresh_recognizer
from oracles import random_waveforms

from asr.corpus.manifest import write_manifest
from asr.exporting.onnx import to_onnx
from asr.utterance import Utterance

LINES, FAILED = 13, (4, 9)


def write_input(folder: Path) -> None:
    """Write `model.onnx`, and `input.jsonl` with recordings in `audio/`; one is missing, and one is damaged."""
    (folder / "model.onnx").write_bytes(to_onnx(fresh_recognizer()))
    (folder / "audio").mkdir()
    lines = []
    for number, wave in enumerate(random_waveforms(0, LINES)):
        path = folder / "audio" / f"{number:02}.wav"
        soundfile.write(path, wave, RATE, subtype="PCM_16")
        line = Utterance(f"line-{number}", path, "abc", 0.0, len(wave) / RATE, f"speaker {number % 3}")
        lines.append(replace(line, extra={"day": number}))
    lines[FAILED[0]].audio.unlink()
    lines[FAILED[1]].audio.write_bytes(b"RIFF and nothing else")
    write_manifest(folder / "input.jsonl", lines)
