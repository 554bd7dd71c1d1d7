"""Export of a model: write the ONNX file, compare its answers with the model's, and keep it only if they agree."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asr.classification import Classifier
from asr.errors import ExportError
from asr.exporting.onnx import to_onnx
from asr.exporting.quantize import quantize
from asr.exporting.verify import TOLERANCE, Comparison, best_path, compare, synthetic
from asr.files import write_whole
from asr.model import SpeechModel
from asr.recognition.recognizer import Recognizer
from asr.runtime.session import Session
from asr.scoring.wer import score

_WORSE = 0.3  # percentage points of CER (or errors of classes) that 8-bit weights may cost


def export(
    model: SpeechModel[Any],
    path: str | Path,
    *,
    waveforms: Sequence[np.ndarray] | None = None,
    texts: Sequence[str] | None = None,
    int8: bool = False,
    force: bool = False,
    report: Callable[[str], None] = print,
) -> Comparison:
    """Export a model to an ONNX file, which is written only if it gives the answers of the model.

    `path` is written whole or not at all. The other arguments and the errors are those of `verified`.
    """
    content, found = verified(model, waveforms=waveforms, texts=texts, int8=int8, force=force, report=report)
    write_whole(Path(path), content)
    report(f"{path}: {len(content) / 1e6:.1f} MB")
    return found


def verified(
    model: SpeechModel[Any],
    *,
    waveforms: Sequence[np.ndarray] | None = None,
    texts: Sequence[str] | None = None,
    int8: bool = False,
    force: bool = False,
    report: Callable[[str], None] = print,
) -> tuple[bytes, Comparison]:
    """Return the bytes of an ONNX file that gives the answers of a model, and their comparison.

    Equal models give equal bytes.

    Args:
        model: A recogniser with CTC, or a classifier.
        waveforms: Waveforms `(N,)` at the sample rate of the model to compare answers on (default: synthetic sounds).
        texts: The reference text, or class, of each waveform; with `int8`, errors are counted against them.
        int8: Store the weights of recurrent and output layers as 8-bit integers, which is faster and smaller.
        force: Take 8-bit weights even if it makes 0.3 percentage points more errors.
        report: Takes the lines that say what was compared.

    Raises ExportError if the answers differ, and ConfigError for a model that cannot be exported.
    """
    given = waveforms is not None
    waveforms = synthetic(model.sample_rate) if waveforms is None else waveforms
    content = to_onnx(model)
    session = Session(content)
    found = compare(model, session, waveforms)
    if not found.difference <= TOLERANCE:
        raise ExportError(
            f"the exported file gives other log-probabilities than the model: they differ by {found.difference:.2g}, "
            f"and {TOLERANCE:g} is allowed; no file is written. Please report this with the configuration"
        )
    source = "validation utterances" if given else "synthetic sounds"
    report(
        f"compared on {found.waveforms} {source} ({found.seconds:.0f} s): log-probabilities differ by at most "
        f"{found.difference:.1e}, {found.paths} other best paths"
    )
    report(f"real-time factor: {found.real_time[0]:.4f} with PyTorch, {found.real_time[1]:.4f} with ONNX Runtime")
    if int8:
        content = quantize(content)
        small = Session(content)
        found = compare(model, small, waveforms)
        _report_errors(model, [session, small], waveforms, texts, force, report)
        report(f"real-time factor: {found.real_time[1]:.4f} with 8-bit weights")
    return content, found


def _report_errors(
    model: SpeechModel[Any],
    sessions: Sequence[Session],
    waveforms: Sequence[np.ndarray],
    texts: Sequence[str] | None,
    force: bool,
    report: Callable[[str], None],
) -> None:
    """Report the errors of both sessions. Raises ExportError if the second makes many more, unless `force` is set."""
    answers = [[_answer(model, session.log_probs([one])[0]) for one in waveforms] for session in sessions]
    name, against = ("classes", "the references") if isinstance(model, Classifier) else ("CER", "the references")
    if texts is None or not any(texts):
        texts, against = answers[0], "the answers of the model in float32"
    if not any(texts):
        raise ExportError(
            "--int8: the model writes no text for these sounds, so errors cannot be counted; name recordings: "
            "--check MANIFEST"
        )
    before, after = (_percent(model, texts, found) for found in answers)
    report(f"8-bit weights: {name} {before:.2f} % -> {after:.2f} %, against {against}")
    if after - before > _WORSE and not force:
        raise ExportError(
            f"--int8: {name} rises from {before:.2f} to {after:.2f} %, by more than {_WORSE} points, so no file is "
            "written; export without --int8, or add --force"
        )


def _answer(model: SpeechModel[Any], log_probs: np.ndarray) -> str:
    best = best_path(log_probs)
    return model.text(best) if isinstance(model, Recognizer) else model.symbols[best[0]]


def _percent(model: SpeechModel[Any], expected: Sequence[str], found: Sequence[str]) -> float:
    if isinstance(model, Classifier):
        return 100 * float(np.mean([one != other for one, other in zip(expected, found, strict=True)]))
    return score(expected, found, interval=False).cer.percent
