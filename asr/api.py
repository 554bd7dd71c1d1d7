"""The functions at the top level of the package that take a model or the path of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, overload

from asr.classification import BaseClassifier, Classification
from asr.errors import AsrError
from asr.hub import is_address, local_file
from asr.model_file import EXPORTED_SUFFIX, read_metadata, task_of
from asr.recognition.ensemble import Ensemble
from asr.recognition.sources import is_recording, load_recording
from asr.recognition.transcriber import Transcriber
from asr.transcript import Transcript

if TYPE_CHECKING:  # exported models need no torch
    import numpy as np
    import torch

    from asr.classifier import Classifier
    from asr.lm.recurrent import RecurrentLM
    from asr.recognition.align import Alignment
    from asr.recognition.recognizer import Recognizer
    from asr.runtime.classifier import ExportedClassifier
    from asr.runtime.recognizer import ExportedRecognizer

ModelPath = str | PathLike[str]
M = TypeVar("M", "Recognizer", "Classifier", "RecurrentLM", "ExportedRecognizer", "ExportedClassifier")


@overload
def load(
    path: ModelPath | Sequence[ModelPath], device: str | torch.device | None = None, *, kind: None = None
) -> Any: ...


@overload
def load(path: ModelPath, device: str | torch.device | None = None, *, kind: type[M]) -> M: ...


def load(
    path: ModelPath | Sequence[ModelPath],
    device: str | torch.device | None = None,
    *,
    kind: type[Any] | None = None,
) -> Any:
    """Load a model file of any task: a Recognizer, a Classifier, or a RecurrentLM; or an exported model.

    Args:
        path: A model file that training wrote, NAME.onnx from `asr export`, or an address of the Hugging Face hub:
            `hf://USER/NAME`, pinned as `hf://USER/NAME@HASH`. Nothing in it is executed. Of several recognisers the
            result is an Ensemble, which averages their log-probabilities.
        device: Device of the model (default: CUDA where there is a GPU, else the CPU).
        kind: The class that the file must hold, for type checkers: `asr.load(path, kind=asr.Recognizer)`.

    Raises ModelFileError that names the file if it is missing, damaged, of another program, or not of `kind`, HubError
    for an address that leads to no model, AsrError for a device that is not there and for a kind of several files, and
    ConfigError for models that cannot be averaged.
    """
    if not isinstance(path, str | PathLike):
        if kind is not None:
            raise AsrError(f"kind {kind.__name__}: is for one model file; several files are loaded as an Ensemble")
        return load_transcriber(path, device)
    path = _located(path)
    if kind is not None:
        if kind.__name__.startswith("Exported"):
            return _load_exported(path, device, kind.__name__, 0)
        return _load_trained(path, device, kind.__name__)
    task = task_of(read_metadata(path))
    if task == "recognition":
        return load_transcriber(path, device)
    if task == "classification":
        return load_classifier(path, device)
    return _load_trained(path, device, "RecurrentLM")


def load_transcriber(
    path: ModelPath | Sequence[ModelPath], device: str | torch.device | None = None, *, threads: int = 0
) -> Transcriber:
    """Load a recogniser: a Recognizer from a model file, or an ExportedRecognizer, which needs no PyTorch.

    Several files are loaded as an Ensemble. `threads` are those that an exported recogniser computes on; 0 are those of
    OMP_NUM_THREADS, or one a core.

    Raises ModelFileError that names the file if it is missing, damaged or of another task, AsrError for a device that
    is not there, and ConfigError for recognisers that cannot be averaged; an exported model computes on the CPU.
    """
    if not isinstance(path, str | PathLike):
        members = [load_transcriber(one, device, threads=threads) for one in path]
        return members[0] if len(members) == 1 else Ensemble(members, path)
    recognizer: Transcriber = _load_either(_located(path), device, "Recognizer", threads)
    return recognizer


def load_classifier(path: ModelPath, device: str | torch.device | None = None) -> BaseClassifier:
    """Load a classifier: a Classifier from a model file, or an ExportedClassifier, which needs no PyTorch.

    The errors are those of `load_transcriber`.
    """
    classifier: BaseClassifier = _load_either(_located(path), device, "Classifier")
    return classifier


def _located(path: ModelPath) -> Path:
    """Return the path of a model file; the file of an address of the hub is downloaded if necessary."""
    return local_file(path) if is_address(path) else Path(path)


def _load_either(path: Path, device: str | torch.device | None, kind: str, threads: int = 0) -> Any:
    if path.suffix == EXPORTED_SUFFIX:
        return _load_exported(path, device, f"Exported{kind}", threads)
    return _load_trained(path, device, kind)


def _load_exported(path: Path, device: str | torch.device | None, kind: str, threads: int) -> Any:
    """Load an exported file into the class of the name `kind`."""
    if device is not None and str(device) != "cpu":
        raise AsrError(f"--device {str(device)!r}: {path} is an exported model, which computes on cpu")
    if kind == "ExportedRecognizer":
        from asr.runtime.recognizer import ExportedRecognizer

        return ExportedRecognizer.load(path, threads=threads)
    from asr.runtime.classifier import ExportedClassifier

    return ExportedClassifier.load(path, threads=threads)


def _load_trained(path: Path, device: str | torch.device | None, kind: str) -> Any:
    """Load a model file into the class of the name `kind`."""
    from asr.device import choose_device

    if kind == "Recognizer":
        from asr.recognition.recognizer import Recognizer

        return Recognizer.from_file(path, device)
    if kind == "Classifier":
        from asr.classifier import Classifier

        return Classifier.from_file(path, device)
    from asr.lm.recurrent import load_recurrent

    lm = load_recurrent(path, conditional=True)
    lm.network.to(choose_device(device))
    return lm


@overload
def transcribe(
    model: Transcriber | ModelPath | Sequence[ModelPath],
    recording: ModelPath | bytes | IO[bytes] | np.ndarray | torch.Tensor | tuple[Any, Any] | dict[str, Any],
    sample_rate: int | None = None,
    **options: Any,
) -> Transcript: ...


@overload
def transcribe(
    model: Transcriber | ModelPath | Sequence[ModelPath],
    recording: Iterable[Any],
    sample_rate: int | None = None,
    **options: Any,
) -> Iterator[Transcript]: ...


def transcribe(
    model: Transcriber | ModelPath | Sequence[ModelPath], recording: Any, sample_rate: int | None = None, **options: Any
) -> Any:
    """Transcribe one recording, or many, with a recogniser, its model file, or several model files.

    See `Recognizer.transcribe`.
    """
    if not isinstance(model, Transcriber):
        model = load_transcriber(model)
    return model.transcribe(recording, sample_rate, **options)


def align(model: Transcriber | ModelPath, recording: Any, text: str, sample_rate: int | None = None) -> Alignment:
    """Find when each word of `text` is spoken in a recording of any length.

    `recording` is anything that `Recognizer.transcribe` takes as one recording. Raises AudioError for a recording
    without usable audio, AsrError for a text without words, ConfigError for a model without CTC.
    """
    from asr.recognition.align import align as align_text  # imports numba, which transcription by best path does not

    if isinstance(model, str | PathLike):
        model = load_transcriber(model)
    return align_text(model, recording, text, sample_rate)


@overload
def classify(  # type: ignore[overload-overlap]  # bytes are a sequence too
    model: BaseClassifier | ModelPath,
    recording: ModelPath | bytes | IO[bytes] | np.ndarray | torch.Tensor | tuple[Any, Any] | dict[str, Any],
    sample_rate: int | None = None,
) -> Classification: ...


@overload
def classify(
    model: BaseClassifier | ModelPath, recording: Sequence[Any], sample_rate: int | None = None
) -> list[Classification]: ...


def classify(model: BaseClassifier | ModelPath, recording: Any, sample_rate: int | None = None) -> Any:
    """Classify one recording, or each of a list, with a classifier or its model file.

    A recording is anything that `Recognizer.transcribe` takes as one recording. Raises AudioError for a recording
    without usable audio.
    """
    classifier = load_classifier(model) if isinstance(model, str | PathLike) else model
    single = is_recording(recording)
    recordings = [recording] if single else list(recording)
    found = classifier.classify(
        [load_recording(one, classifier.sample_rate, source_rate=sample_rate) for one in recordings]
    )
    return found[0] if single else found
