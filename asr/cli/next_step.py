"""The last line of a command on stderr: the command to type next, with the user's own paths."""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import get_args

from asr.cli.log import tell
from asr.config import Channel, Config
from asr.corpus.manifest import SUFFIXES, read_manifest
from asr.errors import AsrError
from asr.hub import address_of

CONFIG, MODEL = "config.yaml", "model.safetensors"
_ANNOTATED = {".eaf": "eaf", ".TextGrid": "TextGrid"}  # suffixes of annotations, and the format that writes them
_TIER = "asr"  # tier of the transcripts in annotations
_SHOWN = 3  # recordings that a command may name


def show_next(*words: str | Path, after: str = "") -> None:
    """Print the command `asr WORDS…`, quoted for a shell; `after` says what to do before."""
    sys.stdout.flush()  # results come before this line also where both go to one log
    tell(f"next: {after}{shlex.join(['asr', *map(str, words)])}")


def after_preparing(
    folder: Path,
    source: Path,
    config: Path | None,
    splits: Sequence[str],
    options: Mapping[str, str | Sequence[str] | None],
) -> None:
    """Show how to train on what `asr prepare` wrote, or how to prepare again if there is no validation split.

    `options` are those of the command, by name: a text, several texts, or None.
    """
    if config is not None:
        show_next("train", folder)
    elif "train" in splits and "validation" not in splits:
        several = {name: [value] if isinstance(value, str) else value or () for name, value in options.items()}
        given = [(f"--{name.replace('_', '-')}", text) for name, texts in several.items() for text in texts]
        show_next("prepare", source, "-o", folder, *chain.from_iterable(given), "--split", "0.9,0.1")


def after_checking(manifests: Sequence[Path], config: Path | None) -> None:
    """Show how to train on the manifests, or how to test them if no configuration names them."""
    beside = manifests[0].parent / CONFIG
    if config is not None or beside.is_file():
        show_next("train", _short(config or beside))
    else:
        show_next("selftest", next((path for path in manifests if path.stem.startswith("train")), manifests[0]))


def after_packing(config: Path | None, shards: str) -> None:
    """Show how to train on shards, with the configuration of the corpus if there is one."""
    if config is not None:
        show_next("train", _short(config), "--set", f"data.train={shards}")
    else:
        tell(f"next: write data.train: {shards} in a configuration, then asr train")


def after_testing(manifest: Path) -> None:
    """Show how to train on a manifest, or how to check it if no configuration lies beside it."""
    if (manifest.parent / CONFIG).is_file():
        show_next("train", manifest.parent)
    else:
        show_next("check", manifest)


def after_training(config: Config, run: Path) -> None:
    """Show how to use the model in the folder `run`: on the test split, or on the folder of the recordings."""
    command = "classify" if config.task == "classification" else "transcribe"
    _use(command, [run], Path(config.data.validation[0]), run / "test.hyp.jsonl")


def after_curve(run: Path, config: Config) -> None:
    """Show how to choose what to transcribe next, with the model of all data, among the recordings of a corpus."""
    folder = _folder_of(Path(config.data.train[0]))
    if folder is not None:
        show_next("next", run, folder, "-o", "to-transcribe")


def after_choosing(folder: Path) -> None:
    """Show how to make training data of the ELAN files in `folder`, once they are transcribed."""
    _prepare_corrected(folder)


def after_seeds(config: Config, folder: Path) -> None:
    """Show how to measure the first of several seeds on the test split, or how to see their learning curves."""
    first = folder / f"seed-{config.training.seed}"
    test = Path(config.data.validation[0]).with_name("test.jsonl")
    if test.is_file() and config.task == "recognition":
        show_next("receipt", first, test)
    else:
        show_next("compare", folder, "--html", folder / "compare.html")


def after_tuning(models: Sequence[Path], validation: Path) -> None:
    """Show how to use the tuned model, which is the first one, together with the others that it was tuned with."""
    tuned = models[0]
    name = f"{tuned.stem.removeprefix('model.')}.test.hyp.jsonl"
    _use("transcribe", models, validation, tuned.with_name(name))


def after_transcribing(
    models: Sequence[Path], inputs: Sequence[str], *, manifest: Path | None, formats: Sequence[str], output: Path | None
) -> None:
    """Show how to score a manifest, how to train on corrected annotations, or how to write files."""
    if manifest is not None:
        if len(inputs) == 1 and Path(inputs[0]).suffix in SUFFIXES and _has_texts(Path(inputs[0])):
            beside = models[0].parent / CONFIG
            config = ["--config", str(_short(beside))] if beside.is_file() else []
            show_next("score", inputs[0], manifest, *config)
    elif set(formats) & set(_ANNOTATED.values()):
        folder = Path() if output is None else output if output.is_dir() else output.parent
        _prepare_corrected(folder)
    elif not formats and len(inputs) <= _SHOWN and "-" not in inputs:
        show_next("transcribe", *map(_short, models), *inputs, "-f", _format_of(map(Path, inputs)), "-o", "transcripts")


def after_scoring(reference: Path, hypothesis: Path, options: Sequence[str], *, analysed: bool) -> None:
    """Show how to add language models to the model beside the hypotheses, or how to see the errors with `options`.

    Nothing is shown after a score that was `analysed` already.
    """
    run, tuned = hypothesis.parent / MODEL, hypothesis.parent / "model.tuned.safetensors"
    training, validation = (reference.parent / f"{name}.jsonl" for name in ("train", "validation"))
    if run.is_file() and not tuned.exists() and training.is_file() and validation.is_file():
        show_next("tune", run.parent, validation, "--lm-text", training)
    elif not analysed and "-" not in (str(reference), str(hypothesis)):
        show_next("score", reference, hypothesis, *options, "--errors")


def after_robustness(model: Path, worse: Sequence[str]) -> None:
    """Show how to train a model that bears the conditions under which this one has clearly more errors."""
    config = model.parent / CONFIG
    steps = "+".join(worse).split("+")
    settings = ["augment.noise_snr_db=[5,25]"] if any(step.startswith("noise-") for step in steps) else []
    settings += ["augment.rooms=simulated"] if "room" in steps else []
    if channels := [step for step in dict.fromkeys(steps) if step in get_args(Channel)]:
        settings.append(f"augment.channels=[{','.join(channels)}]")
    if config.is_file() and settings:
        options = chain.from_iterable(("--set", setting) for setting in settings)
        show_next("train", config, *options, "--out", f"{model.parent}-robust")


def _use(command: str, models: Sequence[Path], validation: Path, hypotheses: Path) -> None:
    """Show how to use models on the test split beside the validation split, or on the folder of its recordings."""
    test = validation.with_name("test.jsonl")
    if test.is_file() and test != validation:
        show_next(command, *models, test, "-o", hypotheses)
        return
    folder = _folder_of(validation)
    if folder is None:
        return
    formats = ["-f", _format_of(utterance.audio for utterance in read_manifest(validation))]
    show_next(command, *models, folder, *(formats if command == "transcribe" else []), "-o", "transcripts")


def _folder_of(manifest: Path) -> str | None:
    """Return the folder that holds all recordings of a manifest, or None if there is no such folder."""
    try:
        recordings = [utterance.audio for utterance in read_manifest(manifest)]
        return os.path.relpath(os.path.commonpath([path.parent.absolute() for path in recordings]))
    except (AsrError, ValueError):  # no recording, or recordings on several drives
        return None


def _prepare_corrected(folder: Path) -> None:
    show_next("prepare", folder, "-o", "data/corrected", "--tier", _TIER, after="correct the files, then ")


def _format_of(places: Iterable[Path]) -> str:
    """Return the format of the annotations in folders or beside recordings, or else txt."""
    folders = dict.fromkeys(path if path.is_dir() else path.parent for path in places)
    found = (format for suffix, format in _ANNOTATED.items() if any(any(f.glob(f"*{suffix}")) for f in folders))
    return next(found, "txt")


def _short(path: Path) -> str | Path:
    """Return the folder in place of its configuration or its model, or the address of a model of the hub."""
    if address := address_of(path):
        return str(address)
    return path.parent if path.name in (CONFIG, MODEL) else path


def _has_texts(manifest: Path) -> bool:
    try:
        return any(utterance.text for utterance in read_manifest(manifest))
    except AsrError:
        return False
