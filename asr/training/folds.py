"""Folds: equal parts of a corpus, and models that are each trained without one of them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from asr.config import Config
from asr.corpus.split import hash_fraction
from asr.errors import ConfigError, TrainingError
from asr.files import write_whole
from asr.recognition.recognizer import Recognizer, load
from asr.training.build import is_keyed
from asr.training.data import TrainingData, read_ids
from asr.training.hardware import processes
from asr.training.loop import MODEL_FILE
from asr.training.train import train
from asr.utterance import Utterance

_TRAINED_ON = "trained-on.sha256"  # digest of the configuration and the data that a model was trained with


def deal(utterances: Sequence[Utterance], folds: int) -> list[list[int]]:
    """Return the indices of the utterances of each fold; the hash of its id decides the fold of an utterance.

    Raises TrainingError if there are fewer utterances than folds.
    """
    if not 2 <= folds <= len(utterances):
        raise TrainingError(
            f"{folds} folds: there must be at least 2, and at most as many as training utterances, {len(utterances)}"
        )
    dealt = sorted(range(len(utterances)), key=lambda index: hash_fraction(utterances[index].id))
    return [sorted(dealt[number::folds]) for number in range(folds)]


def require_whole_epochs(config: Config, option: str) -> None:
    """Raise an error unless trainings of `config` on parts of its data are possible, as `option` asks for.

    Raises ConfigError for a task without texts and for data that is not shown whole in each epoch, and TrainingError
    under torchrun.
    """
    if config.task != "recognition":
        raise ConfigError(f"{option}: is for recognisers; leave it out for task: {config.task}")
    if is_keyed(config):
        raise ConfigError(
            f"{option}: is for data that is packed and shown whole in each epoch; leave data.stream, data.weights, "
            "data.temperature and training.epoch_utterances out"
        )
    if processes().num_processes > 1:
        raise TrainingError(f"{option}: trains in one process; leave torchrun out")


def train_once(config: Config, folder: Path, state: str) -> None:
    """Train a model in `folder`, unless the one there was trained with `config` on data in the same `state`.

    A repeated call resumes a training that was interrupted. Raises the errors of `train`.
    """
    if not is_trained(config, folder, state):
        train(config, folder, overwrite=True)
        write_whole(folder / _TRAINED_ON, _key(config, state))


def is_trained(config: Config, folder: Path, state: str) -> bool:
    """Return True if `train_once` has trained the model in `folder` with `config` on data in the same `state`."""
    trained_on = folder / _TRAINED_ON
    return (folder / MODEL_FILE).exists() and trained_on.exists() and trained_on.read_bytes() == _key(config, state)


def _key(config: Config, state: str) -> bytes:
    return hashlib.sha256(repr((config, state)).encode()).hexdigest().encode()


def cross_validate(
    config: Config, data: TrainingData, out: Path, folds: int, say: Callable[[str], None]
) -> Iterator[tuple[Recognizer, list[int]]]:
    """Train a model for each fold on all other folds; yield the model and the indices of its fold in `data.training`.

    Each model is trained with `config`, in a folder of its own in `out`. A repeated call resumes training where it
    stopped, and keeps models whose data and settings are unchanged. Raises the errors of `deal` and `train`.
    """
    utterances = data.training.utterances
    left_out = read_ids(config.data.exclude) if config.data.exclude is not None else set()
    state = repr((data.training.num_samples.tolist(), [(u.id, u.text) for u in utterances]))
    for number, fold in enumerate(deal(utterances, folds), start=1):
        folder = out / f"fold-{number}"
        exclude = folder / "exclude.txt"
        ids = sorted(left_out | {utterances[index].id for index in fold})
        write_whole(exclude, "".join(f"{identifier}\n" for identifier in ids).encode())
        its_config = config.model_copy(update={"data": config.data.model_copy(update={"exclude": str(exclude)})})
        say(f"fold {number} of {folds}: a model trained without {len(fold)} of {len(utterances)} utterances")
        train_once(its_config, folder, repr((ids, state)))
        yield load(folder / MODEL_FILE), fold
