"""A training run from its configuration to its results, for every task."""

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
    """Train a model, and write `model.safetensors`, `config.yaml`, `log.jsonl`, `training.png` and a page to `out`.

    Returns a Recognizer or a Classifier: the model of the epoch with the lowest validation CER or error rate, and of
    equal epochs the latest. Equal configurations, seeds and machines give equal model files, byte for byte. If a run
    was interrupted in any way, repeat the call: it resumes from the last checkpoint in `out` and gives the same bytes.
    Progress is logged by the logger `asr`, at level INFO. Raises ManifestError, TextError, ConfigError or TrainingError
    if training on the data is impossible.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    process = processes()
    set_seed(config.training.seed)
    open_its_data, make_task = _TASKS[config.task]
    with process.main_process_first():  # the other processes then find the data checked and packed
        data = open_its_data(config, say, strict=strict)
    config = sized(config, data, say)
    task = make_task(config, data, process.device)
    if config.training.budget_minutes is not None:
        config = _planned(task, out)
        set_seed(config.training.seed)
        task = make_task(config, data, process.device)
    say(describe(task.model, task.data))
    say(f"a model that ignores the audio would reach a loss of {task.baseline_loss:.3f} nats per {task.target}")
    if process.is_main_process:
        (out / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")
    log = fit(task, config.training, out)
    task.model = type(task.model).from_file(out / MODEL_FILE, process.device)
    if process.is_main_process:
        task.draw(out, log, done=True)
        say(f"learning curve and output of the model: {out / PICTURE_FILE}, {out / PAGE_FILE}")
    return task.model


def _planned(task: SpeechTask[Any, Any], out: Path) -> Config:
    """Return the configuration that fits its budget: the plan of an earlier call in `out`, or a new plan."""
    config = task.config
    if (out / CONFIG_FILE).exists():
        before = Config.load(out / CONFIG_FILE)
        model = before.model.model_copy(update={"layers": config.model.layers, "hidden": config.model.hidden})
        asked = {"epochs": config.training.epochs, "batch_utterances": config.training.batch_utterances}
        training = before.training.model_copy(update=asked)
        if before.model_copy(update={"model": model, "training": training}) == config:
            size = f"{before.model.layers} layers of {before.model.hidden}"
            say(f"budget: {size}, {before.training.epochs} epochs, as planned before")
            return before
    planned = [within_budget(task, 60 * (config.training.budget_minutes or 0.0), say)]
    return broadcast_object_list(planned)[0]  # every process measures its own time
