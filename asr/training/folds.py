"""Cross-validation: one model for each fold, trained without the utterances of the fold."""

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
    """Train a model for each fold on all other folds; yield the model and the indices of its fold in `data.training`.

    The hash of its id decides the fold of an utterance. Each model is trained with `config`, in a folder of its own in
    `out`. A repeated call resumes training where it stopped, and keeps models whose data and settings are unchanged.
    Raises TrainingError if there are fewer utterances than folds, and the errors of `train`.
    """
    utterances = data.training.utterances
    if not 2 <= folds <= len(utterances):
        raise TrainingError(
            f"{folds} folds: there must be at least 2, and at most as many as training utterances, {len(utterances)}"
        )
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
        say(f"fold {number + 1} of {folds}: a model trained without {len(fold)} of {len(utterances)} utterances")
        if not (model.exists() and trained_on.exists() and trained_on.read_bytes() == key):
            train(its_config, folder, overwrite=True)
            write_whole(trained_on, key)
        yield load(model), fold
