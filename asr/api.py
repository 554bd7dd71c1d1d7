"""The functions at the top level of the package that take a model or the path of one."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeVar, overload

import numpy as np
import torch

from asr.classification import Classification, Classifier
from asr.device import choose_device
from asr.lm.recurrent import RecurrentLM, load_recurrent
from asr.model_file import read_metadata, task_of
from asr.recognition.align import Alignment
from asr.recognition.align import align as align_text
from asr.recognition.recognizer import Recognizer
from asr.recognition.sources import is_recording, load_recording
from asr.transcript import Transcript

ModelPath = str | PathLike[str]
AnyModel = Recognizer | Classifier | RecurrentLM
M = TypeVar("M", Recognizer, Classifier, RecurrentLM)


@overload
def load(path: ModelPath, device: str | torch.device | None = None, *, kind: None = None) -> Any: ...


@overload
def load(path: ModelPath, device: str | torch.device | None = None, *, kind: type[M]) -> M: ...


def load(path: ModelPath, device: str | torch.device | None = None, *, kind: type[Any] | None = None) -> Any:
    """Load a model file of any task: a Recognizer, a Classifier, or a RecurrentLM.

    Args:
        path: A model file that training wrote. Nothing in it is executed.
        device: Device of the model (default: CUDA where there is a GPU, else the CPU).
        kind: The class that the file must hold, for type checkers: `asr.load(path, kind=asr.Recognizer)`.

    Raises ModelFileError that names the file if it is missing, damaged, of another program, or not of `kind`, and
    AsrError for a device that is not there.
    """
    path = Path(path)
    task = task_of(read_metadata(path)) if kind is None else None
    if kind is Recognizer or task == Recognizer.task:
        return Recognizer.from_file(path, device)
    if kind is Classifier or task == Classifier.task:
        return Classifier.from_file(path, device)
    lm = load_recurrent(path, conditional=True)
    lm.network.to(choose_device(device))
    return lm


@overload
def transcribe(
    model: Recognizer | ModelPath,
    recording: ModelPath | bytes | IO[bytes] | np.ndarray | torch.Tensor | tuple[Any, Any] | dict[str, Any],
    sample_rate: int | None = None,
    **options: Any,
) -> Transcript: ...


@overload
def transcribe(
    model: Recognizer | ModelPath, recording: Iterable[Any], sample_rate: int | None = None, **options: Any
) -> Iterator[Transcript]: ...


def transcribe(model: Recognizer | ModelPath, recording: Any, sample_rate: int | None = None, **options: Any) -> Any:
    """Transcribe one recording, or many, with a recogniser or its model file: see `Recognizer.transcribe`."""
    return _loaded(model, Recognizer).transcribe(recording, sample_rate, **options)


def align(model: Recognizer | ModelPath, recording: Any, text: str, sample_rate: int | None = None) -> Alignment:
    """Find when each word of `text` is spoken in a recording of any length.

    `recording` is anything that `Recognizer.transcribe` takes as one recording. Raises AudioError for a recording
    without usable audio, AsrError for a text without words, ConfigError for a model without CTC.
    """
    return align_text(_loaded(model, Recognizer), recording, text, sample_rate)


@overload
def classify(  # type: ignore[overload-overlap]  # bytes are a sequence too
    model: Classifier | ModelPath,
    recording: ModelPath | bytes | IO[bytes] | np.ndarray | torch.Tensor | tuple[Any, Any] | dict[str, Any],
    sample_rate: int | None = None,
) -> Classification: ...


@overload
def classify(
    model: Classifier | ModelPath, recording: Sequence[Any], sample_rate: int | None = None
) -> list[Classification]: ...


def classify(model: Classifier | ModelPath, recording: Any, sample_rate: int | None = None) -> Any:
    """Classify one recording, or each of a list, with a classifier or its model file.

    A recording is anything that `Recognizer.transcribe` takes as one recording. Raises AudioError for a recording
    without usable audio.
    """
    classifier = _loaded(model, Classifier)
    single = is_recording(recording)
    recordings = [recording] if single else list(recording)
    found = classifier.classify(
        [load_recording(one, classifier.sample_rate, source_rate=sample_rate) for one in recordings]
    )
    return found[0] if single else found


def _loaded(model: M | ModelPath, kind: type[M]) -> M:
    return load(Path(model), kind=kind) if isinstance(model, str | PathLike) else model
