"""Builders: from a configuration to the parts of a run, and descriptions of a run for people and model files."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from asr.acoustics.noise import read_noise
from asr.acoustics.rooms import open_rooms
from asr.acoustics.sounds import find_recordings
from asr.acoustics.surroundings import Surroundings
from asr.batching import Joined
from asr.classifier import Classifier
from asr.config import SIMULATED, Config
from asr.corpus.corpus import Corpus
from asr.errors import ConfigError
from asr.lengths import hop_samples
from asr.model import SpeechModel
from asr.model_file import read_metadata, task_of
from asr.recognition.recognizer import Recognizer
from asr.run_log import Row
from asr.training.augment import Augment
from asr.training.data import Corpora
from asr.training.epochs import Epochs, Planner
from asr.training.hardware import processes, use_bf16
from asr.training.order import KeyedOrder, Part, divide, shares_of
from asr.training.recordings import Recordings
from asr.version import __version__
from asr.wording import counted

_SNR_DB = 5.0, 25.0  # signal-to-noise ratios of recorded noise, if a configuration leaves them open
_STREAMED_EPOCH = 500_000  # utterances in an epoch of streamed data, at most: an epoch is planned at once
_MODELS: dict[str, type[SpeechModel[Any]]] = {model.task: model for model in (Recognizer, Classifier)}
_DECODERS = {
    "ctc": "",
    "attention": ", attention decoder",
    "joint": ", attention decoder",
    "transducer": ", transducer",
}  # in descriptions of a model
_FREE = {"decoder", "ctc_weight", "dropout", "dropout_mask"}  # settings that do not change the encoder's parameters
_BY_UNIT = (  # parameters with a row for each unit
    "output.",
    "decoder.output.",
    "decoder.embedding.",
    "transducer.output.",
    "transducer.embedding.",
)


def build_augment(config: Config, model: SpeechModel[Any]) -> Augment:
    """Build the augmentations of a configuration. Raises ConfigError if features or task do not allow one of them."""
    features = model.features
    frequencies = features.bin_frequencies
    if config.augment.frequency_warp and frequencies is None:
        raise ConfigError(f"augment.frequency_warp: {config.features.kind} has no frequency axis to warp; set it to 0")
    if config.augment.join and model.task == Classifier.task:
        raise ConfigError("augment.join: a recording of two utterances does not have one class; set it to 0")
    if config.training.consistency and (model.task == Classifier.task or config.model.decoder != "ctc"):
        raise ConfigError(
            "training.consistency: is for recognisers with model.decoder=ctc, because it compares frames; set it to 0"
        )
    surroundings = build_surroundings(config)
    settings = config.augment.model_dump(exclude={"join", "noise", "rooms", "channels", "share"})
    if config.augment.noise is not None:
        settings["noise_snr_db"] = None  # the ratio of recorded noise
    return Augment(
        hop_seconds=features.hop / features.sample_rate,
        bin_frequencies=frequencies,
        pitch_frequencies=features.pitch_frequencies if features.pitch_bins else None,
        surroundings=surroundings,
        **settings,
    )


def require_surroundings(config: Config) -> None:
    """Raise ConfigError, before the data is read, if a folder of noise or rooms holds no recording."""
    augment = config.augment
    if augment.share and augment.noise is not None:
        find_recordings(augment.noise, "augment.noise")
    if augment.share and augment.rooms not in (None, SIMULATED):
        find_recordings(augment.rooms, "augment.rooms")


def build_surroundings(config: Config) -> Surroundings | None:
    """Read the noise and the rooms of a configuration; return None if it sets neither these nor channels.

    Raises ConfigError for a folder without recordings, and for a recording that cannot be used.
    """
    augment, rate = config.augment, config.features.sample_rate
    if not augment.share or (augment.noise is None and augment.rooms is None and not augment.channels):
        return None
    return Surroundings(
        sample_rate=rate,
        share=augment.share,
        noise=None if augment.noise is None else read_noise(augment.noise, rate, setting="augment.noise"),
        snr_db=augment.noise_snr_db or _SNR_DB,
        rooms=None if augment.rooms is None else open_rooms(augment.rooms, rate, setting="augment.rooms"),
        channels=augment.channels,
    )


def check_bands(config: Config, model: SpeechModel[Any]) -> None:
    """Raise ConfigError if some mel bands are so narrow that no frequency of the window falls into them."""
    if config.features.kind == "spectrogram":
        return
    filters = model.features.get_buffer("filters")  # (n_fft / 2 + 1, F)
    if empty := int((filters.sum(0) == 0).sum()):
        raise ConfigError(
            f"features.bins={config.features.bins}: {empty} of the mel bands are too narrow for windows of "
            f"{config.features.window_ms:g} ms, and would always be empty; lower features.bins, or raise "
            "features.window_ms"
        )


def start_from(model: SpeechModel[Any], path: str | Path) -> str:
    """Copy the weights of a model file to `model`; return a line about the units or classes that are kept.

    Rows of output layers and embeddings are matched by unit or class; rows of new units keep their fresh weights. From
    a model of another task, only the encoder is copied. A decoder that the file does not have keeps its fresh weights.
    Raises ModelFileError for a bad file, and ConfigError if features or encoder have other settings.
    """
    task = task_of(read_metadata(path))
    if task not in _MODELS:
        raise ConfigError(f"{path}: is a {task}; training can start from a recogniser or a classifier only")
    other = _MODELS[task].from_file(path, model.device)
    differences = []
    for section in ("features", "model"):
        ours, theirs = (getattr(m.config, section).model_dump(exclude=_FREE) for m in (model, other))
        differences += [f"{section}.{key}={theirs[key]}" for key in ours if ours[key] != theirs[key]]
    if differences:
        raise ConfigError(
            f"{path}: was trained with other settings; to start from it, use --set {' --set '.join(differences)}"
        )
    old, new = other.symbols, model.symbols
    same_task = model.task == other.task
    shared = [symbol for symbol in new if symbol in old] if same_task else []
    before = model.outputs_before  # rows before the units: the blank
    rows_of_old, rows_of_new = (
        [*range(before), *(before + symbols.index(symbol) for symbol in shared)] for symbols in (old, new)
    )
    weights = model.acoustic_model.state_dict()
    for name, tensor in other.acoustic_model.state_dict().items():
        if name in weights and not name.startswith(_BY_UNIT):
            weights[name].copy_(tensor)
        elif name in weights and same_task:
            weights[name][rows_of_new] = tensor[rows_of_old]
    added, dropped = len(new) - len(shared), len(old) - len(shared)
    return f"starting from {path}: {model.outputs} {len(shared)} kept, {added} new, {dropped} dropped"


def with_its_settings(config: Config, say: Callable[[str], None]) -> Config:
    """Return the configuration with the features and the encoder of `training.start_from`, where it leaves them open.

    The settings are reported. Settings of the configuration stay, and `start_from` refuses them if they differ.
    Raises ModelFileError for a bad file.
    """
    path = config.training.start_from
    if path is None:
        return config
    try:
        theirs = Config.model_validate(read_metadata(path).get("config"))
    except ValidationError:
        return config  # `start_from` says what is wrong with the file
    taken = []
    for section in ("features", "model"):
        settings, stored = getattr(config, section), getattr(theirs, section).model_dump(exclude=_FREE)
        left_open = {name: value for name, value in stored.items() if name not in settings.model_fields_set}
        defaults = type(settings)().model_dump()
        taken += [f"{section}.{name}={value}" for name, value in left_open.items() if value != defaults[name]]
        stated = settings.model_dump(exclude_unset=True)
        config = config.model_copy(update={section: type(settings)(**stated, **left_open)})
    if taken:
        say(f"settings of {path}: {' '.join(taken)}")
    return config


def build_recordings(config: Config, corpus: Corpus) -> Recordings:
    """Build the recordings of a training corpus.

    A pause of three encoder frames keeps the joined text feasible for CTC, if both texts are. One frame is for the
    space, or for the blank between equal units; two frames are for rounding.
    """
    stride = hop_samples(config.features.sample_rate, config.features.hop_ms) * config.model.subsampling
    return Recordings(corpus, shortest_pause=3 * stride)


def plan_epochs(config: Config, data: Corpora, epochs: int | None = None) -> Sequence[list[list[Joined]]]:
    """Plan the batches of each of `epochs` epochs (default: `training.epochs`); see `Task.plans`."""
    numbers = range(epochs or config.training.epochs)
    recordings = build_recordings(config, data.training)
    join = config.augment.join or 0.0
    limits: dict[str, Any] = {
        "max_samples": round(config.training.batch_seconds * data.training.sample_rate),
        "max_utterances": config.training.batch_utterances,
    }
    if not is_keyed(config):
        generator = np.random.default_rng(config.training.seed)
        return [recordings.plan(join, generator=generator, **limits) for _ in numbers]
    order = build_order(config, data)

    def plan(epoch: int) -> list[list[Joined]]:
        return [
            batch
            for number, lines in enumerate(order.windows(epoch))
            for batch in recordings.plan(join, lines=lines, generator=order.generator(epoch, number), **limits)
        ]

    return Epochs(Planner(plan), numbers)


def is_keyed(config: Config) -> bool:
    """Return whether epochs are planned one by one, in keyed order, in place of all at once."""
    data = config.data
    return data.is_streamed or bool(data.weights or data.temperature is not None or config.training.epoch_utterances)


def epoch_lines(config: Config, data: Corpora) -> int:
    """Return the number of utterances in an epoch."""
    lines = len(data.training)
    return config.training.epoch_utterances or (min(lines, _STREAMED_EPOCH) if config.data.is_streamed else lines)


def build_order(config: Config, data: Corpora) -> KeyedOrder:
    """Build the order of keyed epochs. Corpora without weights and temperature are one corpus.

    Raises ConfigError if epochs are too short for the corpora.
    """
    lines = epoch_lines(config, data)
    if config.data.weights is None and config.data.temperature is None:
        return KeyedOrder([Part(0, len(data.training), lines)], seed=config.training.seed)
    if lines < len(data.sizes):
        raise ConfigError(f"training.epoch_utterances: must be at least {len(data.sizes)}, the number of manifests")
    parts = divide(data.sizes, data.hours, corpus_shares(config, data), lines)
    return KeyedOrder(parts, seed=config.training.seed)


def corpus_shares(config: Config, data: Corpora) -> list[float]:
    """Return the share of each training manifest in the audio of an epoch."""
    return shares_of(data.hours, weights=config.data.weights, temperature=config.data.temperature)


def describe_corpora(config: Config, data: Corpora) -> str:
    """Describe the hours and the share of each training manifest, and an epoch, for keyed epochs."""
    hours = sum(data.hours)
    lines = [
        f"{path}: {its_hours:.2f} h, {its_hours / hours:.1%} of the audio, {share:.1%} of an epoch"
        for path, its_hours, share in zip(config.data.train, data.hours, corpus_shares(config, data), strict=True)
    ]
    number = counted("{} utterance<s>", epoch_lines(config, data))
    return "\n".join([*(lines if lines[1:] else []), f"an epoch has {number}; the next one goes on where it ends"])


def describe(model: SpeechModel[Any], data: Corpora) -> str:
    """Describe data and model in the two lines before the first epoch, and a step that is divided in a third."""
    parameters = sum(parameter.numel() for parameter in model.acoustic_model.parameters())
    shape, process = model.config.model, processes()
    precision = "bf16" if use_bf16(model.config.training.precision, process.device) else "fp32"
    return (
        f"training on {counted('{} utterance<s>', len(data.training))} ({data.training.seconds / 3600:.2f} h), "
        f"validating on {len(data.validation)} ({data.validation.seconds / 3600:.2f} h); "
        f"{len(model.symbols)} {model.outputs}\n"
        f"{shape.layers} x {shape.hidden} {'bidirectional ' if shape.bidirectional else ''}{shape.cell}"
        f"{_DECODERS[shape.decoder]}{' and CTC' if 0 < shape.loss_weights[0] < 1 else ''}, "
        f"{parameters / 1e6:.2f} M parameters, {precision} on {process.num_processes} x {process.device.type}"
        f"{_division(model.config, process.num_processes)}"
    )


def _division(config: Config, processes: int) -> str:
    """Describe how a step is divided; return an empty text if one process computes it at once."""
    utterances, parts = config.training.batch_utterances, config.training.parts
    if processes * parts == 1:
        return ""
    return (
        f"\na step has up to {utterances} utterances and {config.training.batch_seconds:g} s with padding: "
        f"{counted('{} process<es>', processes)} x {counted('{} part<s>', parts)} of up to "
        f"{counted('{} utterance<s>', -(-utterances // (processes * parts)))}"
    )


def summary(config: Config, data: Corpora, row: Row, errors: Sequence[str]) -> dict[str, Any]:
    """Return the summary of a training run for `asr info`, with the fields `errors` of the row.

    It contains nothing that differs between equal runs, such as times.
    """
    return {
        **data_summary(data),
        "epoch": row["epoch"],
        **{f"validation_{name}": round(row[name], 4) for name in errors},
        "seed": config.training.seed,
        **program(),
    }


def data_summary(data: Corpora) -> dict[str, float]:
    """Return the amount of data, for the summary of a run."""
    return {
        "training_hours": round(data.training.seconds / 3600, 4),
        "training_utterances": len(data.training),
        "validation_utterances": len(data.validation),
    }


def program() -> dict[str, Any]:
    """Return the version of the program, for the model file."""
    return {
        "git_commit": _git_commit(),
        "versions": {"asr": __version__, "torch": torch.__version__, "python": sys.version.split()[0]},
    }


def _git_commit() -> str | None:
    """Return the commit of the asr package, if it runs from a git checkout."""
    if shutil.which("git") is None:
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    is_tracked = git("ls-files", Path(__file__).name)  # false if installed inside a checkout of another project
    return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or None if is_tracked else None
