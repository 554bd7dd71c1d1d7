"""Export for sherpa-onnx, which runs on phones and has interfaces to ten languages.

Its loader for "omnilingual CTC" models takes a waveform `(1, N)` of 16 kHz, scaled to mean 0 and deviation 1, and
returns log-probabilities `(1, T, V)`. It decodes by best path, and counts 20 ms a frame.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from asr.batching import pad
from asr.errors import ConfigError, ExportError
from asr.exporting.encoder import log_probs
from asr.exporting.graph import Graph
from asr.exporting.onnx import encode, require_best_path, require_exportable
from asr.exporting.quantize import quantize
from asr.exporting.verify import best, compare_errors, difference, synthetic, tolerance
from asr.files import write_whole
from asr.recognition.recognizer import Recognizer

MODEL_FILE, TOKENS_FILE = "model.onnx", "tokens.txt"
_SAMPLE_RATE = 16000  # Hz, of the waveforms that the loader gives
_FRAME = 320  # samples of a frame in the times of sherpa-onnx
_TRAP, _HIGHER = 0xC6, "😀"  # sherpa-onnx takes a table whose largest byte is 0xC6 for pieces of bytes
_SPACE_BEFORE = "▁"  # begins a token before which sherpa-onnx writes a space


def export_for_sherpa(
    model: Recognizer,
    folder: str | Path,
    *,
    waveforms: Sequence[np.ndarray] | None = None,
    texts: Sequence[str] | None = None,
    int8: bool = False,
    force: bool = False,
    report: Callable[[str], None] = print,
) -> None:
    """Write `model.onnx` and `tokens.txt` for sherpa-onnx into a folder, if the file answers as the model does.

    `waveforms (N,)` of 16 kHz are recordings to compare answers on (default: synthetic sounds). The other arguments are
    those of `asr.exporting.export.verified`. Raises ExportError if log-probabilities differ or 8-bit weights cost too
    much, and the errors of `to_sherpa`.
    """
    some = synthetic(_SAMPLE_RATE) if waveforms is None else waveforms
    level = float(np.median([np.sqrt(np.square(one).mean()) for one in some if one.any()]))
    content, symbols = to_sherpa(model, level)
    run = _runner(content)
    differences, expected, found = [0.0], model.recognize(some), []
    for waveform in map(standardised, some):
        ours = model.log_probs(*pad([waveform * np.float32(level)]))[0][0].cpu().numpy()
        theirs = run(waveform)
        if times_are_right(model):
            ours = ours[np.arange(len(theirs)) * _FRAME // model.stride]
        differences.append(difference(ours, theirs))
        found.append(model.text(best(theirs)))
    allowed = tolerance(model, [standardised(one) * np.float32(level) for one in some])
    if not max(differences) <= allowed:
        raise ExportError(
            f"the exported file gives other log-probabilities than the model: they differ by {max(differences):.2g}, "
            f"and {allowed:.2g} is allowed; {folder} is not written. Please report this with the configuration"
        )
    equal = sum(one == other for one, other in zip(expected, found, strict=True))
    report(
        f"compared on {len(some)} {'synthetic sounds' if waveforms is None else 'validation utterances'}: "
        f"log-probabilities differ by at most {max(differences):.1e}; {equal} of {len(some)} texts are those of best "
        "path at the level of the recording (sherpa-onnx scales all recordings to one level)"
    )
    if int8:
        content = quantize(content)
        run = _runner(content)
        small = [model.text(best(run(standardised(one)))) for one in some]
        compare_errors(found, small, texts, force=force, report=report)
    if not times_are_right(model):
        report(
            f"times: sherpa-onnx counts 20 ms a frame, and frames of this model last {model.stride / 16:g} ms; "
            "multiply its times by the ratio"
        )
    folder = Path(folder)
    write_whole(folder / MODEL_FILE, content)
    write_whole(folder / TOKENS_FILE, symbols.encode())
    report(f"{folder / MODEL_FILE}: {len(content) / 1e6:.1f} MB, and {TOKENS_FILE}; decoding is best path")


def standardised(waveform: np.ndarray) -> np.ndarray:
    """Scale a waveform `(N,)` to mean 0 and deviation 1, as sherpa-onnx does before the model."""
    return (waveform - waveform.mean()) / np.sqrt(waveform.var() + np.float32(1e-5))


def _runner(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda waveform: session.run(None, {"x": waveform[None]})[0][0]


def to_sherpa(model: Recognizer, level: float) -> tuple[bytes, str]:
    """Return a recogniser as the bytes of an ONNX file for sherpa-onnx, and the text of its `tokens.txt`.

    `level` is the root mean square of usual recordings, in 0..1: features have a floor, so quiet sounds need it.
    Raises ConfigError for a model that does not work with 16 kHz, or with another decoder than CTC.
    """
    require_exportable(model)
    require_best_path(model, "--for sherpa-onnx")
    if model.sample_rate != _SAMPLE_RATE:
        raise ConfigError(
            f"--for sherpa-onnx: it gives models {_SAMPLE_RATE} Hz, and this one works with {model.sample_rate} Hz; "
            f"train one with --set features.sample_rate={_SAMPLE_RATE}"
        )
    graph = Graph()
    scaled = graph.input("x", np.float32, ["B", "N"])
    audio = graph.op("Mul", scaled, graph.number(level))
    lengths = graph.op("Expand", graph.size(audio, 1), graph.size(audio, 0))
    found = log_probs(graph, model.acoustic_model, *encode(graph, model, audio, lengths))
    if model.stride >= _FRAME:  # frames are repeated, so that times are right; fewer frames would lose units
        found = _at_its_rate(graph, found, model.stride)
    graph.output(found, "log_probs", np.float32, ["B", "T", len(model.units)])
    content = graph.model({"model_type": "asr", "comment": "made by asr export --for sherpa-onnx"})
    return content.SerializeToString(deterministic=True), tokens(model.units.symbols, model.units.kind == "phones")


def times_are_right(model: Recognizer) -> bool:
    """Tell whether sherpa-onnx counts the times of words in seconds: not where frames are shorter than its own."""
    return model.stride >= _FRAME


def tokens(symbols: Sequence[str], spaced: bool) -> str:
    """Return the lines of `tokens.txt`, a unit and its index each; `spaced` writes a space before each unit.

    A line without a unit is the space.
    """
    lines = ["<blk> 0"]
    for index, symbol in enumerate(symbols, 1):
        lines.append(str(index) if symbol == " " else f"{_SPACE_BEFORE if spaced else ''}{symbol} {index}")
    if max("".join(lines).encode()) == _TRAP:
        lines.append(f"{_HIGHER} {len(symbols) + 1}")
    return "\n".join(lines) + "\n"


def _at_its_rate(graph: Graph, log_probs: str, stride: int) -> str:
    """Repeat frames `(B, S, V)` of `stride` samples, so that a frame is as long as sherpa-onnx thinks."""
    total = graph.op("Mul", graph.size(log_probs, 1), graph.integers(stride))
    count = graph.op("Squeeze", graph.ceil_divided(total, _FRAME))
    places = graph.op("Range", graph.constant(0, np.int64), count, graph.constant(1, np.int64))
    index = graph.op("Div", graph.op("Mul", places, graph.integers(_FRAME)), graph.integers(stride))
    return graph.op("Gather", log_probs, index, axis=1)
