"""Cross-validation: each utterance judged by a model that was trained without it."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from asr.config import Config
from asr.corpus.split import hash_fraction
from asr.errors import TrainingError
from asr.files import write_whole
from asr.recognition.recognizer import Recognizer, load
from asr.training.data import TrainingData, read_ids
from asr.training.loop import MODEL_FILE
from asr.training.train import train


def cross_validate(
    config: Config, data: TrainingData, out: Path, folds: int, say: Callable[[str], None]
) -> Iterator[tuple[Recognizer, list[int]]]:
    """Trains a model for each fold on all the others, and gives it with the indices in `data.training` of its fold.

    Utterances are dealt to the folds by the hash of their id. Each model is trained as `config` says, in a folder of
    `out`; called again, training goes on where it stopped, and what is trained on the same is not trained again.
    Raises TrainingError for fewer utterances than folds, or as `train` does.
    """
    utterances = data.training.utterances
    if not 2 <= folds <= len(utterances):
        raise TrainingError(f"{folds} folds: there must be 2 or more, and of {len(utterances)} utterances not more")
    left_out = read_ids(config.data.exclude) if config.data.exclude is not None else set()
    dealt = sorted(range(len(utterances)), key=lambda index: hash_fraction(utterances[index].id))
    state = repr((data.training.num_samples.tolist(), [(u.id, u.text) for u in utterances]))
    for number in range(folds):
        fold, folder = sorted(dealt[number::folds]), out / f"fold-{number + 1}"
        exclude = folder / "exclude.txt"
        ids = sorted(left_out | {utterances[index].id for index in fold})
        write_whole(exclude, "".join(f"{identifier}\n" for identifier in ids).encode())
        its_config = config.model_copy(update={"data": config.data.model_copy(update={"exclude": str(exclude)})})
        key = hashlib.sha256(repr((its_config, ids, state)).encode()).hexdigest().encode()
        model, trained_on = folder / MODEL_FILE, folder / "trained-on.sha256"
        say(f"fold {number + 1} of {folds}: a model that has not seen {len(fold)} of {len(utterances)} utterances")
        if not (model.exists() and trained_on.exists() and trained_on.read_bytes() == key):
            train(its_config, folder)
            write_whole(trained_on, key)
        yield load(model), fold
