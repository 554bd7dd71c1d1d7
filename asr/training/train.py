"""A training run from its configuration to its results, whatever the task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import set_seed

from asr.config import Config
from asr.model import SpeechModel
from asr.training.build import describe
from asr.training.classification import ClassificationTask
from asr.training.data import open_corpora, open_data
from asr.training.hardware import denormals_flushed
from asr.training.loop import MODEL_FILE, fit
from asr.training.recognition import RecognitionTask
from asr.training.speech import PICTURE_FILE, SpeechTask
from asr.training.watch import say

CONFIG_FILE = "config.yaml"
_TASKS: dict[str, tuple[Callable[..., Any], Callable[..., SpeechTask[Any, Any]]]] = {
    "recognition": (open_data, RecognitionTask),
    "classification": (open_corpora, ClassificationTask),
}


@denormals_flushed()
def train(config: Config, out: str | Path, *, strict: bool = False) -> SpeechModel[Any]:
    """Trains a model; leaves `model.safetensors`, `config.yaml`, `log.jsonl` and `training.png` in `out`.

    The model of the epoch with the lowest validation CER, or share of utterances in a wrong class, (of equals, the
    last, which has annealed longest) is kept, in the file and in what is returned: a Recognizer or a Classifier. The
    same configuration, seed and machine give the same model, byte for byte, also when the run was interrupted in any
    way and the call repeated: it goes on from the last checkpoint in `out`. Raises ManifestError, TextError,
    ConfigError or TrainingError where the data cannot be trained on.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    processes = PartialState()
    set_seed(config.training.seed)
    open_its_data, make_task = _TASKS[config.task]
    with processes.main_process_first():  # the others find the data checked and packed
        data = open_its_data(config, say, strict=strict)
    task = make_task(config, data, processes.device)
    say(describe(task.model, task.data, processes.device))
    say(f"a model that does not listen would reach a loss of {task.not_listening:.3f} nats per {task.target}")
    if processes.is_main_process:
        (out / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")
    log = fit(task, config.training, out)
    task.model = type(task.model).from_file(out / MODEL_FILE, processes.device)
    if processes.is_main_process:
        task.draw(out, log)
        say(f"learning curve, and what the model hears: {out / PICTURE_FILE}")
    return task.model
