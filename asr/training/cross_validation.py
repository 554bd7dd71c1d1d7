"""Training on little data: each utterance is recognised by a model that lacks it, and the last model has them all."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from asr.config import Config
from asr.corpus.manifest import read_manifest, with_hypothesis, write_manifest
from asr.errors import TrainingError
from asr.files import write_whole
from asr.model_file import MODEL_FILE
from asr.recognition.recognizer import Recognizer, load
from asr.run_log import CONFIG_FILE, LOG_FILE, kept_row, read_log
from asr.scoring.files import Pair, score_pairs
from asr.scoring.wer import Score
from asr.training.data import open_data, read_ids
from asr.training.evaluate import evaluate
from asr.training.folder import claimed, refuse_finished
from asr.training.folds import deal, require_whole_epochs, train_once
from asr.training.hardware import processes
from asr.training.sizes import sized
from asr.utterance import Utterance
from asr.wording import counted

HYPOTHESES_FILE = "folds.jsonl"
_CHOICES = "--overwrite trains what has changed, --out names another folder"


def train_on_folds(
    config: Config, out: Path, *, folds: int, say: Callable[[str], None], overwrite: bool = False
) -> Recognizer:
    """Train a model for each fold without the fold, then a model on all utterances; return the last model.

    The utterances are those of training and of validation. Each fold validates the model that is trained without it.
    `folds.jsonl` gets each utterance with its hypothesis and its fold, and `model.safetensors` the last model. The last
    model is trained for as many epochs as the kept epochs of the others on average. A repeated call resumes where it
    stopped, and keeps models whose data and settings are unchanged.

    Raises TrainingError if `out` holds a finished run and `overwrite` is not set, if there are fewer utterances than
    folds, or under torchrun; ConfigError for a classifier; and the errors of `train`.
    """
    require_whole_epochs(config, "--folds")
    if not overwrite:
        refuse_finished(out, _CHOICES)
    with claimed(out):
        return _train(config, out, folds, say)


def _train(config: Config, out: Path, folds: int, say: Callable[[str], None]) -> Recognizer:
    utterances = _utterances(config)
    parts = [[utterances[index] for index in fold] for fold in deal(utterances, folds)]
    everything = out / "all" / "train.jsonl"
    write_manifest(everything, utterances)
    config = _on(config, everything, everything)
    config = sized(config, open_data(config, lambda line: None), say)  # the folds say what the data is

    pairs: list[Pair] = []
    rows: list[Utterance] = []
    epochs: list[int] = []
    for number, part in enumerate(parts, start=1):
        folder = out / f"fold-{number}"
        say(f"fold {number} of {folds}: {len(part)} utterances are recognised by a model of the other folds")
        its_config = _write_fold(config, folder, [u for other in parts if other is not part for u in other], part)
        train_once(its_config, folder, repr(utterances))
        epochs.append(kept_row(read_log(folder / LOG_FILE))["epoch"])
        recognizer = load(folder / MODEL_FILE, processes().device)
        corpus = open_data(its_config, lambda line: None).validation
        texts = evaluate(recognizer, corpus).hypotheses
        pairs += [Pair(u.id, u.text or "", t, u.speaker) for u, t in zip(corpus.utterances, texts, strict=True)]
        hypotheses = {utterance.id: text for utterance, text in zip(corpus.utterances, texts, strict=True)}
        rows += [_recognised(u, hypotheses[u.id], number) for u in part if u.id in hypotheses]
    write_manifest(out / HYPOTHESES_FILE, rows)
    score = score_pairs(pairs)

    mean = max(1, round(sum(epochs) / folds))
    say(
        f"the last model learns from all {len(utterances)} utterances, for {counted('{} epoch<s>', mean)}, the mean of "
        f"the kept epochs {', '.join(map(str, epochs))}; it is scored on fold 1, which it learns as well: its scores "
        "say nothing, and its duplicates are no fault"
    )
    training = config.training.model_copy(update={"epochs": mean, "patience": mean})
    its_config = _on(config.model_copy(update={"training": training}), everything, out / "fold-1" / "validation.jsonl")
    train_once(its_config, out / "all", repr(utterances))
    last = load(out / "all" / MODEL_FILE, processes().device)
    last.summary = _summary(last.summary, score, folds, len(pairs))
    last.save(out / MODEL_FILE)
    write_whole(out / CONFIG_FILE, its_config.to_yaml().encode())
    say(f"each of {len(pairs)} utterances recognised once, by a model that did not learn it: {out / HYPOTHESES_FILE}")
    for rate in (score.cer, score.wer):
        say(f"  {rate}")
    say(
        "  each model kept the epoch with the lowest CER on its own fold: expect slightly more errors on new recordings"
    )
    return last


def _utterances(config: Config) -> list[Utterance]:
    """Return the utterances of training and validation, each once, without those that `data.exclude` lists.

    Raises TrainingError for an id of two recordings.
    """
    excluded = read_ids(config.data.exclude) if config.data.exclude is not None else set()
    field = config.data.text_field
    found: dict[str, Utterance] = {}
    for path in (*config.data.train, *config.data.validation):
        for utterance in read_manifest(path, text_field=field):
            text = {} if field == "text" else {field: utterance.text}
            first = found.setdefault(utterance.id, replace(utterance, extra={**utterance.extra, **text}))
            if (first.audio, first.offset) != (utterance.audio, utterance.offset):
                raise TrainingError(
                    f"{path}: {utterance.id} is the id of two recordings, {first.audio} and {utterance.audio}; give "
                    "them different ids"
                )
    return [utterance for identifier, utterance in found.items() if identifier not in excluded]


def _on(config: Config, training: Path, validation: Path) -> Config:
    """Return the configuration with these manifests."""
    manifests = {"train": (str(training),), "validation": (str(validation),), "exclude": None}
    return config.model_copy(update={"data": config.data.model_copy(update=manifests)})


def _write_fold(config: Config, folder: Path, training: Sequence[Utterance], validation: Sequence[Utterance]) -> Config:
    """Write the manifests of a fold into its folder, and return its configuration."""
    write_manifest(folder / "train.jsonl", training)
    write_manifest(folder / "validation.jsonl", validation)
    return _on(config, folder / "train.jsonl", folder / "validation.jsonl")


def _recognised(utterance: Utterance, hypothesis: str, fold: int) -> Utterance:
    row = with_hypothesis(utterance, hypothesis)
    return replace(row, extra={**row.extra, "fold": fold})


def _summary(of_last: dict[str, object], score: Score, folds: int, utterances: int) -> dict[str, object]:
    """Return the summary of the last model with the scores of the folds in place of its own, which mean nothing."""
    found = {name: round(rate.percent, 4) for name, rate in (("cer", score.cer), ("wer", score.wer))}
    kept = {name: value for name, value in of_last.items() if not name.startswith("validation_")}
    validated = {"validation_utterances": utterances, **{f"validation_{name}": found[name] for name in found}}
    return {**kept, **validated, "folds": folds}
