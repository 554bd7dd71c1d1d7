"""Train your own speech recogniser, and use it.

    import asr

    model = asr.load("digits.safetensors")
    print(model.transcribe("x.wav").text)

The names below are imported when first used, so that `import asr` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asr.version import __version__

_PUBLIC = {
    "Alignment": "asr.recognition.align",
    "Alternative": "asr.transcript",
    "AsrError": "asr.errors",
    "AudioError": "asr.errors",
    "BaseClassifier": "asr.classification",
    "BeamDecoder": "asr.decoding.beam_decoder",
    "Classification": "asr.classification",
    "Classifier": "asr.classifier",
    "Config": "asr.config",
    "ConfigError": "asr.errors",
    "ExportError": "asr.errors",
    "ExportedClassifier": "asr.runtime.classifier",
    "ExportedRecognizer": "asr.runtime.recognizer",
    "LanguageModelError": "asr.errors",
    "ManifestError": "asr.errors",
    "ModelFileError": "asr.errors",
    "Recognizer": "asr.recognition.recognizer",
    "RecurrentLM": "asr.lm.recurrent",
    "Score": "asr.scoring.wer",
    "Segment": "asr.transcript",
    "Stream": "asr.recognition.stream",
    "StreamUpdate": "asr.recognition.stream",
    "TextError": "asr.errors",
    "TrainingError": "asr.errors",
    "Transcriber": "asr.recognition.transcriber",
    "Transcript": "asr.transcript",
    "Units": "asr.text",
    "Utterance": "asr.utterance",
    "Word": "asr.transcript",
    "align": "asr.api",
    "best_path": "asr.decoding.greedy",
    "classify": "asr.api",
    "ctc_loss": "asr.nn.ctc",
    "load": "asr.api",
    "load_audio": "asr.audio",
    "read_manifest": "asr.corpus.manifest",
    "score": "asr.scoring.wer",
    "train": "asr.training.train",
    "transcribe": "asr.api",
    "write_manifest": "asr.corpus.manifest",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # type checkers read the imports below

if TYPE_CHECKING:
    from asr.api import align as align
    from asr.api import classify as classify
    from asr.api import load as load
    from asr.api import transcribe as transcribe
    from asr.audio import load_audio as load_audio
    from asr.classification import BaseClassifier as BaseClassifier
    from asr.classification import Classification as Classification
    from asr.classifier import Classifier as Classifier
    from asr.config import Config as Config
    from asr.corpus.manifest import read_manifest as read_manifest
    from asr.corpus.manifest import write_manifest as write_manifest
    from asr.decoding.beam_decoder import BeamDecoder as BeamDecoder
    from asr.decoding.greedy import best_path as best_path
    from asr.errors import AsrError as AsrError
    from asr.errors import AudioError as AudioError
    from asr.errors import ConfigError as ConfigError
    from asr.errors import ExportError as ExportError
    from asr.errors import LanguageModelError as LanguageModelError
    from asr.errors import ManifestError as ManifestError
    from asr.errors import ModelFileError as ModelFileError
    from asr.errors import TextError as TextError
    from asr.errors import TrainingError as TrainingError
    from asr.lm.recurrent import RecurrentLM as RecurrentLM
    from asr.nn.ctc import ctc_loss as ctc_loss
    from asr.recognition.align import Alignment as Alignment
    from asr.recognition.recognizer import Recognizer as Recognizer
    from asr.recognition.stream import Stream as Stream
    from asr.recognition.stream import StreamUpdate as StreamUpdate
    from asr.recognition.transcriber import Transcriber as Transcriber
    from asr.runtime.classifier import ExportedClassifier as ExportedClassifier
    from asr.runtime.recognizer import ExportedRecognizer as ExportedRecognizer
    from asr.scoring.wer import Score as Score
    from asr.scoring.wer import score as score
    from asr.text import Units as Units
    from asr.training.train import train as train
    from asr.transcript import Alternative as Alternative
    from asr.transcript import Segment as Segment
    from asr.transcript import Transcript as Transcript
    from asr.transcript import Word as Word
    from asr.utterance import Utterance as Utterance


def __getattr__(name: str) -> Any:
    """Import a public name. Raises AsrError with the command that installs a missing optional package."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'asr' has no attribute {name!r}")
    try:
        return getattr(import_module(_PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        from asr.extras import missing_package

        raise missing_package(error, f"asr.{name}") or error from None


def __dir__() -> list[str]:
    return __all__
