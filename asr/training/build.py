"""From a configuration to the parts of a run: precision, augmentation, batches, and what is said of them."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import asr
from asr.batching import plan_batches
from asr.config import Config
from asr.errors import ConfigError
from asr.model import Recognizer, load
from asr.text import BLANK
from asr.training.augment import Augment
from asr.training.data import TrainingData
from asr.training.hardware import use_bf16
from asr.training.history import Row

_BY_UNIT = ("output.", "decoder.output.", "decoder.embedding.")  # parameters with a row for each unit


def build_augment(config: Config, recognizer: Recognizer) -> Augment:
    """The augmentations that a configuration describes. Raises ConfigError for those its features cannot have."""
    frequencies = recognizer.features.bin_frequencies
    if config.augment.frequency_warp and frequencies is None:
        raise ConfigError(f"augment.frequency_warp: {config.features.kind} has no frequency axis to warp; set it to 0")
    features = recognizer.features
    return Augment(
        hop_seconds=features.hop / features.sample_rate,
        bin_frequencies=frequencies,
        **config.augment.model_dump(),
    )


def start_from(recognizer: Recognizer, path: str | Path) -> str:
    """Gives `recognizer` the weights of a model file, and tells which units it keeps.

    Rows of output layers and embeddings go by their unit; those of new units stay fresh, and so does a decoder that the
    other model does not have. Raises ModelFileError for a bad file, ConfigError where features or encoder differ in
    shape.
    """
    other = load(path, recognizer.device)
    for section in ("features", "model"):
        ours, theirs = (
            getattr(r.config, section).model_dump(exclude={"decoder", "ctc_weight"}) for r in (recognizer, other)
        )
        if differences := [f"{section}.{key}={theirs[key]}" for key in ours if ours[key] != theirs[key]]:
            raise ConfigError(
                f"{path}: was trained with other settings; to start from it, --set {' '.join(differences)}"
            )
    old, new = other.units.symbols, recognizer.units.symbols
    shared = [symbol for symbol in new if symbol in old]
    rows_of_old, rows_of_new = ([BLANK, *(units.index(s) + 1 for s in shared)] for units in (old, new))
    weights = recognizer.acoustic_model.state_dict()
    for name, tensor in other.acoustic_model.state_dict().items():
        if name.startswith(_BY_UNIT) and name in weights:
            weights[name][rows_of_new] = tensor[rows_of_old]
        elif name in weights:
            weights[name].copy_(tensor)
    added, dropped = len(new) - len(shared), len(old) - len(shared)
    return f"starting from {path}: units {len(shared)} kept, {added} new, {dropped} dropped"


def plan_epochs(config: Config, data: TrainingData) -> list[list[list[int]]]:
    """The batches of every epoch, drawn before the first, so that the schedule knows the number of steps."""
    generator = np.random.default_rng(config.training.seed)
    return [
        plan_batches(
            data.training.num_samples,
            max_samples=round(config.training.batch_seconds * data.training.sample_rate),
            max_utterances=config.training.batch_utterances,
            generator=generator,
        )
        for _ in range(config.training.epochs)
    ]


def describe(recognizer: Recognizer, data: TrainingData, device: torch.device) -> str:
    """What is about to be trained, on what: the two lines before the first epoch."""
    parameters = sum(parameter.numel() for parameter in recognizer.acoustic_model.parameters())
    model = recognizer.config.model
    precision = "bf16" if use_bf16(recognizer.config.training.precision, device) else "fp32"
    return (
        f"training on {len(data.training)} utterances ({data.training.seconds / 3600:.2f} h), validating on "
        f"{len(data.validation)} ({data.validation.seconds / 3600:.2f} h); {len(data.units)} units with blank\n"
        f"{model.layers} x {model.hidden} {'bidirectional ' if model.bidirectional else ''}{model.cell}"
        f"{', attention decoder' if model.decoder != 'ctc' else ''}{' and CTC' if model.decoder == 'joint' else ''}, "
        f"{parameters / 1e6:.2f} M parameters, {precision} on {device}"
    )


def summary(recognizer: Recognizer, data: TrainingData, row: Row) -> dict[str, Any]:
    """What `asr info` tells of the training: nothing that differs between two equal runs."""
    return {
        "training_hours": round(data.training.seconds / 3600, 4),
        "training_utterances": len(data.training),
        "validation_utterances": len(data.validation),
        "epoch": row["epoch"],
        "validation_cer": round(row["cer"], 4),
        "validation_wer": round(row["wer"], 4),
        "seed": recognizer.config.training.seed,
        "git_commit": _git_commit(),
        "versions": {"asr": asr.__version__, "torch": torch.__version__, "python": sys.version.split()[0]},
    }


def _git_commit() -> str | None:
    """The commit of the asr package, where it runs from a git checkout."""
    if shutil.which("git") is None:
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    is_tracked = git("ls-files", Path(__file__).name)  # not installed inside a checkout of something else
    return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or None if is_tracked else None
