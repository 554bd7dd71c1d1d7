"""Train your own speech recogniser, and use it.

    import asr

    model = asr.load("digits.safetensors")
    print(model.transcribe("x.wav").text)

The names below are imported when first used, so that `import asr` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "AsrError": "asr.errors",
    "AudioError": "asr.errors",
    "Classifier": "asr.classify",
    "Config": "asr.config",
    "Recognizer": "asr.recognition.recognizer",
    "Score": "asr.scoring.wer",
    "Transcript": "asr.transcript",
    "Units": "asr.text",
    "best_path": "asr.decoding.greedy",
    "ctc_loss": "asr.nn.ctc",
    "load": "asr.recognition.recognizer",
    "load_audio": "asr.audio",
    "read_manifest": "asr.corpus.manifest",
    "score": "asr.scoring.wer",
    "train": "asr.training.train",
    "write_manifest": "asr.corpus.manifest",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from asr.audio import load_audio as load_audio
    from asr.classify import Classifier as Classifier
    from asr.config import Config as Config
    from asr.corpus.manifest import read_manifest as read_manifest
    from asr.corpus.manifest import write_manifest as write_manifest
    from asr.decoding.greedy import best_path as best_path
    from asr.errors import AsrError as AsrError
    from asr.errors import AudioError as AudioError
    from asr.nn.ctc import ctc_loss as ctc_loss
    from asr.recognition.recognizer import Recognizer as Recognizer
    from asr.recognition.recognizer import load as load
    from asr.scoring.wer import Score as Score
    from asr.scoring.wer import score as score
    from asr.text import Units as Units
    from asr.training.train import train as train
    from asr.transcript import Transcript as Transcript


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'asr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
