"""Self-training: a teacher transcribes recordings without texts; a student learns these texts, then the real ones."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.api import load_transcriber
from asr.config import Config
from asr.corpus.manifest import read_manifest
from asr.errors import ConfigError, TrainingError
from asr.files import write_whole
from asr.learning.pseudo import WEIGHT_FIELD, pseudo_transcripts, write_pseudo
from asr.recognition.recognizer import Recognizer, load
from asr.training.folder import CONFIG_FILE, claimed, refuse_finished
from asr.training.folds import require_whole_epochs, train_once
from asr.training.hardware import processes
from asr.training.loop import LOG_FILE, MODEL_FILE
from asr.tuning.tune import tune
from asr.utterance import Utterance

_TEST_FILE = "test.jsonl"  # beside the validation split, as `asr prepare` and the recipes write it
_TUNED_FILE = "model.tuned.safetensors"
_CHOICES = "--overwrite trains what has changed, --out names another folder"
_REAL_SHARE = 1 / 3  # epochs of the second stage, as a share of those of the first
_REAL_RATE = 0.25  # learning rate of the second stage, as a share of that of the first


@dataclass(frozen=True, slots=True)
class Stages:
    """The folders of a self-training, in the folder of its results."""

    out: Path

    @property
    def teacher(self) -> Path:
        return self.out / "teacher"

    @property
    def with_pseudo(self) -> Path:
        return self.out / "stage-1"

    @property
    def real(self) -> Path:
        return self.out / "stage-2"


def self_train(
    config: Config,
    out: Path,
    *,
    untranscribed: Sequence[Utterance],
    teacher: Sequence[Path] = (),
    say: Callable[[str], None],
    overwrite: bool = False,
) -> Recognizer:
    """Train a recogniser on the data of `config` and on recordings without texts; return it.

    `teacher` are model files, several as one (default: a model that is trained on the data of `config`, with language
    models of its training texts). Its texts go to `pseudo.jsonl` with their confidence, and the texts that are not used
    to `refused.jsonl`. The first stage trains on real and on pseudo transcripts, which are weighted by confidence. The
    second stage goes on with real transcripts alone. `model.safetensors` gets its result. A repeated call resumes where
    it stopped, and keeps all that has not changed.

    Raises TrainingError if `out` holds a finished run and `overwrite` is not set, if no pseudo transcript is taken, or
    under torchrun; ConfigError for a classifier, for large corpora and for a teacher without CTC; and the errors of
    training and transcription.
    """
    require_whole_epochs(config, "--untranscribed")
    if not teacher and config.model.decoder in ("attention", "joint"):
        raise ConfigError(
            f"--untranscribed: the teacher is a model with language models, which do not go with model.decoder: "
            f"{config.model.decoder}; name one with CTC: --teacher MODEL"
        )
    if not teacher and config.model.loss_weights[0] == 0:
        raise ConfigError(
            "--untranscribed: the teacher is a model of these settings, and without CTC it cannot tell how sure it is; "
            "set model.ctc_weight above 0, or name one with CTC: --teacher MODEL"
        )
    if not overwrite:
        refuse_finished(out, _CHOICES)
    stages = Stages(out)
    with claimed(out):
        teacher = teacher or [_trained_teacher(config, stages.teacher, say)]
        both = with_pseudo(config, out, untranscribed, teacher, say)
        say("stage 1: real and pseudo transcripts")
        train_once(both, stages.with_pseudo, _state(*both.data.train))
        say("stage 2: real transcripts alone")
        train_once(_second(config, stages), stages.real, _state(stages.with_pseudo / MODEL_FILE))
        last = load(stages.real / MODEL_FILE, processes().device)
        pseudo = read_manifest(both.data.train[-1])
        hours = sum(line.duration or 0.0 for line in pseudo) / 3600
        last.summary |= {"pseudo_hours": round(hours, 4), "pseudo_utterances": len(pseudo)}
        last.save(out / MODEL_FILE)
        write_whole(out / LOG_FILE, (stages.real / LOG_FILE).read_bytes())
        write_whole(out / CONFIG_FILE, (stages.real / CONFIG_FILE).read_bytes())
    return last


def _trained_teacher(config: Config, folder: Path, say: Callable[[str], None]) -> Path:
    """Train a teacher in `folder`, add language models of its training texts, and return its model file."""
    say("teacher: a model of the real transcripts, with language models of their texts")
    train_once(config, folder, _state(*config.data.train))
    tuned, key = folder / _TUNED_FILE, folder / "tuned-from.sha256"
    state = _state(folder / MODEL_FILE, config.data.validation[0]).encode()
    if not (tuned.exists() and key.exists() and key.read_bytes() == state):
        recognizer = load(folder / MODEL_FILE, processes().device)
        texts = tuple(map(Path, config.data.train))
        tune(recognizer, Path(config.data.validation[0]), lm_text=texts, report=say)
        recognizer.save(tuned)
        write_whole(key, state)
    return tuned


def with_pseudo(
    config: Config, out: Path, untranscribed: Sequence[Utterance], teacher: Sequence[Path], say: Callable[[str], None]
) -> Config:
    """Write pseudo transcripts by the teacher to `out`, and return the configuration with them as training data.

    Raises TrainingError if no pseudo transcript can be used or under torchrun, ConfigError for a classifier and for
    large corpora, and the errors of models and manifests.
    """
    require_whole_epochs(config, "--untranscribed")
    pseudo = _pseudo(config, out, untranscribed, teacher, say)
    field = config.data.weight_field or WEIGHT_FIELD
    data = config.data.model_copy(update={"train": (*config.data.train, str(pseudo)), "weight_field": field})
    return config.model_copy(update={"data": data})


def _pseudo(
    config: Config, out: Path, untranscribed: Sequence[Utterance], teacher: Sequence[Path], say: Callable[[str], None]
) -> Path:
    """Write pseudo transcripts by the teacher to `out`, unless they are there already; return their manifest."""
    taken, key = out / "pseudo.jsonl", out / "pseudo.sha256"
    tests = {Path(path).with_name(_TEST_FILE) for path in config.data.validation} - set(
        map(Path, config.data.validation)
    )
    manifests: dict[str, Sequence[str | Path]] = {
        "validation": config.data.validation,
        "test": sorted(path for path in tests if path.is_file()),
        "training": config.data.train,
    }
    used = {purpose: [one for path in paths for one in read_manifest(path)] for purpose, paths in manifests.items()}
    state = hashlib.sha256(repr((_state(*teacher), untranscribed, used)).encode()).hexdigest().encode()
    if taken.exists() and key.exists() and key.read_bytes() == state:
        say(f"pseudo transcripts: as before, {taken}")
        return taken
    if texts := sum(bool(one.text) for one in untranscribed):
        say(f"{texts} of {len(untranscribed)} recordings have a text in their manifest, which is not read")
    found = pseudo_transcripts(load_transcriber(list(teacher), processes().device), untranscribed, used=used)
    if config.data.weight_field is not None:
        for line in found.taken:
            line.extra[config.data.weight_field] = line.extra.pop(WEIGHT_FIELD)
    if config.data.text_field != "text":
        for line in found.taken:
            line.extra[config.data.text_field] = line.text
    taken, refused = write_pseudo(found, out)
    for text in found.report():
        say(text)
    say(f"look at them: {taken}, {refused}")
    if not found.taken:
        raise TrainingError(
            f"{refused}: no pseudo transcript could be used, for the reasons in it; use a better teacher, or train on "
            "real transcripts alone"
        )
    write_whole(key, state)
    return taken


def _second(config: Config, stages: Stages) -> Config:
    """Return the configuration of the second stage: the model of the first stage, on real transcripts alone."""
    first = Config.load(stages.with_pseudo / CONFIG_FILE)
    epochs = max(1, round(first.training.epochs * _REAL_SHARE))
    training = first.training.model_copy(
        update={
            "start_from": str(stages.with_pseudo / MODEL_FILE),
            "epochs": epochs,
            "patience": epochs,
            "learning_rate": first.training.learning_rate * _REAL_RATE,
            "budget_minutes": None,
        }
    )
    return first.model_copy(update={"data": config.data, "training": training})


def _state(*paths: str | Path) -> str:
    """Return a digest of the contents of files."""
    return repr([hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths])
