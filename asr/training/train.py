"""A training run from its configuration to its results, whatever the task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, set_seed

from asr.config import Config
from asr.model import SpeechModel
from asr.training.budget import within_budget
from asr.training.build import describe
from asr.training.classification import ClassificationTask
from asr.training.data import open_corpora, open_data
from asr.training.hardware import keep_memory, processes, steady_numbers
from asr.training.loop import MODEL_FILE, fit
from asr.training.recognition import RecognitionTask
from asr.training.sizes import sized
from asr.training.speech import PAGE_FILE, PICTURE_FILE, SpeechTask
from asr.training.watch import say

CONFIG_FILE = "config.yaml"
_TASKS: dict[str, tuple[Callable[..., Any], Callable[..., SpeechTask[Any, Any]]]] = {
    "recognition": (open_data, RecognitionTask),
    "classification": (open_corpora, ClassificationTask),
}


@steady_numbers()
def train(config: Config, out: str | Path, *, strict: bool = False) -> SpeechModel[Any]:
    """Trains a model; leaves `model.safetensors`, `config.yaml`, `log.jsonl`, `training.png` and a page in `out`.

    The model of the epoch with the lowest validation CER, or share of utterances in a wrong class, (of equals, the
    last, which has annealed longest) is kept, in the file and in what is returned: a Recognizer or a Classifier. The
    same configuration, seed and machine give the same model, byte for byte, also when the run was interrupted in any
    way and the call repeated: it goes on from the last checkpoint in `out`. Raises ManifestError, TextError,
    ConfigError or TrainingError where the data cannot be trained on.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    process = processes()
    set_seed(config.training.seed)
    open_its_data, make_task = _TASKS[config.task]
    with process.main_process_first():  # the others find the data checked and packed
        data = open_its_data(config, say, strict=strict)
    config = sized(config, data, say)
    task = make_task(config, data, process.device)
    if config.training.budget_minutes is not None:
        config = _planned(task, out)
        set_seed(config.training.seed)
        task = make_task(config, data, process.device)
    say(describe(task.model, task.data))
    say(f"a model that does not listen would reach a loss of {task.not_listening:.3f} nats per {task.target}")
    if process.is_main_process:
        (out / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")
    log = fit(task, config.training, out)
    task.model = type(task.model).from_file(out / MODEL_FILE, process.device)
    if process.is_main_process:
        task.draw(out, log, done=True)
        say(f"learning curve, and what the model hears: {out / PICTURE_FILE}, {out / PAGE_FILE}")
    return task.model


def _planned(task: SpeechTask[Any, Any], out: Path) -> Config:
    """The configuration within its budget: as it was planned before in `out`, so that a run can go on, or anew."""
    config = task.config
    if (out / CONFIG_FILE).exists():
        before = Config.load(out / CONFIG_FILE)
        model = before.model.model_copy(update={"layers": config.model.layers, "hidden": config.model.hidden})
        asked = {"epochs": config.training.epochs, "batch_utterances": config.training.batch_utterances}
        training = before.training.model_copy(update=asked)
        if before.model_copy(update={"model": model, "training": training}) == config:
            say(f"budget: {before.model.layers} x {before.model.hidden}, {before.training.epochs} epochs, as before")
            return before
    planned = [within_budget(task, 60 * (config.training.budget_minutes or 0.0), say)]
    return broadcast_object_list(planned)[0]  # every process measures its own time
