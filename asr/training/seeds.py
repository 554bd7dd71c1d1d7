"""Several trainings that differ in their seed alone, each in a folder of its own."""

from collections.abc import Callable
from pathlib import Path

from asr.config import Config
from asr.errors import TrainingError
from asr.origin import read_origin
from asr.training.folder import claimed, is_finished, refuse_finished
from asr.training.hardware import processes
from asr.training.record import data_digests, digest_of, file_digests
from asr.training.train import train

_CHOICES = "it has other settings or other data; --overwrite trains it again, --out names another folder"


def train_on_seeds(
    config: Config, out: Path, *, seeds: int, say: Callable[[str], None], strict: bool = False, overwrite: bool = False
) -> list[Path]:
    """Train `seeds` models, with the seeds from `training.seed` on; return their folders, `out/seed-N`.

    A repeated call resumes the run that was interrupted, and keeps finished runs whose settings and data are
    unchanged. Raises TrainingError under torchrun, or for a finished run with other settings or data unless `overwrite`
    is set, and the errors of `train`.
    """
    if processes().num_processes > 1:
        raise TrainingError("--seeds: trains in one process; leave torchrun out")
    first = config.training.seed
    folders = []
    with claimed(out):
        data, files = data_digests(config), file_digests(config)
        for number, seed in enumerate(range(first, first + seeds), start=1):
            its_config = Config.model_validate(_with_seed(config, seed))
            folder = out / f"seed-{seed}"
            folders.append(folder)
            origin = read_origin(folder) if is_finished(folder) else None
            if origin and (origin.asked, origin.data, origin.files) == (digest_of(its_config), data, files):
                say(f"seed {seed}, {number} of {seeds}: is trained already, in {folder}")
                continue
            if not overwrite:
                refuse_finished(folder, _CHOICES)
            say(f"seed {seed}, {number} of {seeds}: {folder}")
            train(its_config, folder, strict=strict, overwrite=overwrite)
    return folders


def _with_seed(config: Config, seed: int) -> dict[str, object]:
    """Return the settings that were given, with another seed; what is left open stays open."""
    tree = config.model_dump(mode="json", exclude_unset=True)
    return {**tree, "training": {**tree.get("training", {}), "seed": seed}}
