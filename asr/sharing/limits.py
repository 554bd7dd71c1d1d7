"""The limits of a model in words: what it learned from, what it was not tested on, and what it cannot write."""

from collections.abc import Iterator, Mapping

from asr.errors import ConfigError
from asr.recognition.latency import describe, require_streamable
from asr.sharing.contents import SharedModel
from asr.sharing.data import Split, trained_speakers
from asr.sharing.scores import TestScore
from asr.wording import counted

_CONSEQUENCE = "their score is better than that of new recordings"
Splits = Mapping[str, Split | str]


def limits_of(model: SharedModel, splits: Splits, score: TestScore | None) -> Iterator[str]:
    """Yield a sentence, or two, for each limit that follows from the model file, its manifests and its test score."""
    config, metadata, training = model.config, model.metadata, splits["train"]
    summary = metadata.get("training", {})
    if isinstance(hours := summary.get("training_hours"), int | float):
        speakers = trained_speakers(training, summary.get("training_utterances"))
        by = "" if speakers is None else f" of {counted('{} speaker<s>', speakers)}"
        yield f"It learned from {hours:.2f} h of speech{by}, and from no other voices, rooms and microphones."
    yield _tested_speakers(score, splits)
    if score is not None:
        yield from (f"{said[0].upper()}{said[1:]}." for said in _shared_utterances(score, splits))
    if isinstance(training, Split) and training.longest is not None:
        yield f"The longest utterance of training has {training.longest:.1f} s."
    rate = config["features"]["sample_rate"]
    yield f"It uses frequencies up to {rate / 2000:g} kHz: all recordings are resampled to {rate} Hz."
    yield from _recogniser_limits(model) if model.task == "recognition" else _classifier_limits(model)
    if any(name.startswith("validation_") and name != "validation_utterances" for name in summary):
        yield "Validation data chose the epoch that was kept, so its score is better than that of new recordings."


def overlaps_of(score: TestScore | None, splits: Splits) -> list[str]:
    """Return a line for each split that has utterances of the test set, with what that means for the score."""
    return [] if score is None else [f"{score.reference}: {said}" for said in _shared_utterances(score, splits)]


def _shared_utterances(score: TestScore, splits: Splits) -> Iterator[str]:
    for name, split in splits.items():
        if score.split is not None and isinstance(split, Split) and (shared := len(score.split.places & split.places)):
            yield f"{shared} of {score.utterances} test utterances are in {name} too; {_CONSEQUENCE}"


def _tested_speakers(score: TestScore | None, splits: Splits) -> str:
    if score is None:
        return "No score on test data is stated. So it is not known how well it does on new recordings."
    training, split = splits["train"], score.split
    if split is None or split.speakers is None or not isinstance(training, Split) or training.speakers is None:
        return "It is not stated whether the speakers of the test are also in training."
    new = len(split.speakers - training.speakers)
    said = f"Of the {counted('{} speaker<s>', len(split.speakers))} of the test, {new} are not in training."
    return said if new else f"{said} It was not tested on other voices."


def _recogniser_limits(model: SharedModel) -> Iterator[str]:
    config, lengths = model.config, model.metadata.get("lengths")
    if isinstance(lengths, dict) and isinstance(longest := lengths.get("longest"), int | float):
        yield f"Recordings longer than {longest:.1f} s are divided at pauses."
    yield f"It writes the {counted('{} unit<s>', len(model.symbols))} listed below, and no other characters."
    if config["text"]["lower"]:
        yield "It writes small letters only."
    if config["text"]["strip_punctuation"]:
        yield "It writes no punctuation."
    if "decoding" in model.metadata:
        yield "It prefers words and word sequences of the texts that its language models were made of."
    try:
        require_streamable(config)
        yield f"It transcribes live sound: {describe(config)}."
    except ConfigError:
        yield "Live sound gets its text at pauses, not word by word: it reads whole utterances."


def _classifier_limits(model: SharedModel) -> Iterator[str]:
    yield f"It gives each recording one of {counted('{} class<es>', len(model.symbols))}, also one of none of them."
