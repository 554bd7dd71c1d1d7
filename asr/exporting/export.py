"""Export of a model: write the ONNX file, compare its answers with the model's, and keep it only if they agree."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asr.classifier import Classifier
from asr.errors import ExportError
from asr.exporting.onnx import require_best_path, to_onnx
from asr.exporting.quantize import quantize
from asr.exporting.verify import Comparison, best, compare, compare_errors, synthetic, tolerance
from asr.files import write_whole
from asr.model import SpeechModel
from asr.recognition.recognizer import Recognizer
from asr.runtime.session import Session


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

    Raises ExportError if the answers differ or 8-bit weights cost too much, and ConfigError for a model that cannot be
    exported.
    """
    given = waveforms is not None
    waveforms = synthetic(model.sample_rate) if waveforms is None else waveforms
    if int8:
        require_best_path(model, "--int8")
    content = to_onnx(model)
    session = Session(content)
    found = compare(model, session, waveforms)
    if not found.difference <= (allowed := tolerance(model, waveforms)):
        raise ExportError(
            f"the exported file gives other log-probabilities than the model: they differ by {found.difference:.2g}, "
            f"and {allowed:.2g} is allowed; no file is written. Please report this with the configuration"
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
        before, after = (_answers(model, one, waveforms) for one in (session, small))
        compare_errors(before, after, texts, classes=isinstance(model, Classifier), force=force, report=report)
        report(f"real-time factor: {found.real_time[1]:.4f} with 8-bit weights")
    return content, found


def _answers(model: SpeechModel[Any], session: Session, waveforms: Sequence[np.ndarray]) -> list[str]:
    """Return the text of best path, or the class, of each waveform."""
    found = (best(session.log_probs([one])[0]) for one in waveforms)
    return [model.text(one) if isinstance(model, Recognizer) else model.symbols[one[0]] for one in found]
