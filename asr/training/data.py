"""What a run trains on: corpora opened, units learned, and everything left out named before the first epoch."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr.config import Config
from asr.corpus.manifest import Utterance, read_manifest
from asr.corpus.pack import PackedCorpus, pack
from asr.errors import TrainingError
from asr.nn.ctc import required_frames
from asr.text import Normalizer, Units, describe_characters

_NAMED = 5  # utterances named one by one before the rest are counted


@dataclass(frozen=True, slots=True)
class TrainingData:
    training: PackedCorpus
    validation: PackedCorpus
    units: Units


def open_data(config: Config, say: Callable[[str], None]) -> TrainingData:
    """Packs both corpora and learns the units. Recordings that cannot be read are said and left out.

    Raises ManifestError for a bad manifest, TextError if training has no text, TrainingError if no audio is left.
    """
    training, validation = (_open(paths, config, say) for paths in (config.data.train, config.data.validation))
    shared = {u.audio for u in training.utterances} & {u.audio for u in validation.utterances}
    if shared:
        say(f"warning: {len(shared)} recordings are in training and in validation, {min(shared)} for one")
    units = Units.learn(utterance.text or "" for utterance in training.utterances)
    unknown: Counter[str] = Counter()
    for utterance in validation.utterances:
        unknown += units.unknown(utterance.text or "")
    if unknown:
        say(f"warning: validation text holds characters never seen in training: {describe_characters(unknown)}")
    return TrainingData(training, validation, units)


def keep_feasible(
    corpus: PackedCorpus, units: Units, num_output_frames: Callable[[int], int], say: Callable[[str], None]
) -> list[list[int]]:
    """Encodes the texts of `corpus` and drops, by name, each utterance too short for its text under CTC.

    `num_output_frames` tells the encoder frames of a number of samples. Returns the targets of what is kept.
    Raises TrainingError if nothing is.
    """
    targets = [units.encode(utterance.text or "") for utterance in corpus.utterances]
    kept, faults = [], []
    for index, (utterance, target) in enumerate(zip(corpus.utterances, targets, strict=True)):
        frames, needed = num_output_frames(int(corpus.num_samples[index])), required_frames(target)
        if frames >= needed:
            kept.append(index)
        else:
            repeats = needed - len(target)
            faults.append(
                f"{utterance.id}: {len(target)} units + {repeats} repeats need {needed} frames, "
                f"the audio gives {frames}"
            )
    if faults:
        _say_left_out(faults, "too short for their text; check it, or lower model.subsampling", say)
    if not kept:
        raise TrainingError("no utterance is left to train on: each is too short for its text")
    corpus.select(kept)
    return [targets[index] for index in kept]


def _open(paths: Sequence[str], config: Config, say: Callable[[str], None]) -> PackedCorpus:
    normalizer = Normalizer(lower=config.text.lower)
    utterances: list[Utterance] = []
    for path in paths:
        utterances += read_manifest(path, require_text=True)
    utterances = [replace(utterance, text=normalizer(utterance.text or "")) for utterance in utterances]
    first, rate = Path(paths[0]), config.features.sample_rate
    name = "+".join(Path(path).stem for path in paths)
    corpus = pack(utterances, rate, first.with_name(f"{name}.{rate}.arrow"))
    if corpus.errors:
        _say_left_out([error for _, error in corpus.errors], "unreadable", say)
    if not len(corpus):
        raise TrainingError(f"{', '.join(paths)}: none of its {len(utterances)} recordings can be read")
    return corpus


def _say_left_out(faults: Sequence[str], why: str, say: Callable[[str], None]) -> None:
    say(f"left out {len(faults)} utterances, {why}:")
    for fault in faults[:_NAMED]:
        say(f"  {fault}")
    if len(faults) > _NAMED:
        say(f"  … and {len(faults) - _NAMED} more")
