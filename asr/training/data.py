"""What a run trains on: corpora opened, units learned, and everything left out named before the first epoch."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from asr.config import Config
from asr.corpus.check import check, settings_of
from asr.corpus.check_verdicts import SUSPECT
from asr.corpus.manifest import Utterance
from asr.corpus.pack import PackedCorpus, pack
from asr.errors import TrainingError
from asr.text import Normalizer, Units, describe_characters

_NAMED = 5  # utterances named one by one before the rest are counted


@dataclass(frozen=True, slots=True)
class TrainingData:
    training: PackedCorpus
    validation: PackedCorpus
    units: Units


def open_data(config: Config, say: Callable[[str], None], *, strict: bool = False) -> TrainingData:
    """Checks and packs both corpora and learns the units. What is unusable is said and left out.

    Raises ManifestError for a bad manifest, TextError if training has no text, TrainingError if nothing is left, or
    if anything is unusable and `strict`.
    """
    splits = {"train": config.data.train, "validation": config.data.validation}
    report = check(splits, training="train", **settings_of(config))
    for verdict, findings in groupby(report.unusable, key=lambda finding: finding.verdict):
        _say_left_out([f"{finding}; {finding.cure}" for finding in findings], verdict, say)
    if strict and report.unusable:
        raise TrainingError("strict: there are unusable utterances; correct the data, or train without --strict")
    if suspects := Counter(finding.verdict for finding in report.findings if finding.severity == SUSPECT):
        say("suspect, see `asr check`: " + ", ".join(f"{count} {verdict}" for verdict, count in suspects.items()))
    for split, paths in splits.items():
        if not report.usable(split):
            count = len(report.splits[split])
            raise TrainingError(f"{', '.join(paths)}: none of its {count} utterances can be used; see above")
    training, validation = (_pack(paths, report.usable(split), config, say) for split, paths in splits.items())
    units = Units.learn(utterance.text or "" for utterance in training.utterances)
    unknown: Counter[str] = Counter()
    for utterance in validation.utterances:
        unknown += units.unknown(utterance.text or "")
    if unknown:
        say(f"warning: validation text holds characters never seen in training: {describe_characters(unknown)}")
    return TrainingData(training, validation, units)


def _pack(
    paths: Sequence[str], utterances: Sequence[Utterance], config: Config, say: Callable[[str], None]
) -> PackedCorpus:
    normalizer, rate = Normalizer(lower=config.text.lower), config.features.sample_rate
    normalized = [replace(utterance, text=normalizer(utterance.text or "")) for utterance in utterances]
    name = "+".join(Path(path).stem for path in paths)
    corpus = pack(normalized, rate, Path(paths[0]).with_name(f"{name}.{rate}.arrow"))
    if corpus.errors:  # changed since the check
        _say_left_out([error for _, error in corpus.errors], "unreadable", say)
    return corpus


def _say_left_out(faults: Sequence[str], why: str, say: Callable[[str], None]) -> None:
    say(f"left out {len(faults)} utterances, {why}:")
    for fault in faults[:_NAMED]:
        say(f"  {fault}")
    if len(faults) > _NAMED:
        say(f"  … and {len(faults) - _NAMED} more")
