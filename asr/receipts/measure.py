"""Measure a run on its test data, and write the receipt."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from asr.config import Config
from asr.corpus.digest import corpus_digest
from asr.corpus.manifest import scan_manifest
from asr.errors import AsrError
from asr.files import file_digest, real_path
from asr.model_file import MODEL_FILE, signature
from asr.origin import Origin, read_origin
from asr.receipts.receipt import (
    PHRASES,
    RATES,
    Quality,
    Rate,
    RateName,
    Receipt,
    Result,
    check_settings,
    faults_of,
    require_manifests,
)
from asr.receipts.steps import Decoding, Run, Steps, recipe_of
from asr.run_log import CONFIG_FILE, LOG_FILE, kept_row, read_log
from asr.scoring.accuracy import accuracy
from asr.scoring.files import group_by, pair_files, score_pairs
from asr.scoring.translation import translation_scores
from asr.scoring.wer import ErrorRate
from asr.training.folder import is_finished
from asr.training.record import data_digests, file_digests, this_machine, this_program


def make_receipt(
    run: Path,
    test: Path,
    *,
    decoding: Decoding,
    phrases: Path | None = None,
    bleu: bool = False,
    by: str | None = None,
    execute: Run,
    say: Callable[[str], None],
) -> Receipt:
    """Decode `test` with the model in the folder `run`, score it, and return the receipt of the scores.

    The decoding "phrases" needs the file `phrases`; `bleu` and `by` add to the scores, see `Steps`. `execute` runs a
    command of `asr`. Raises AsrError if the run is unfinished, if its data has changed, or if it
    cannot be repeated: without its origin, with a time budget, extended, or continued on another machine.
    """
    origin, config = _origin(run), Config.load(run / CONFIG_FILE)
    try:
        check_settings(config)
        require_manifests((test.as_posix(), *config.data.train, *config.data.validation))
    except AsrError as error:
        raise AsrError(f"{run}: {error}") from None
    for name, paths in (("training", config.data.train), ("validation", config.data.validation)):
        if shared := _shared(test, paths, config.data.text_field):
            say(f"warning: {test}: {shared} of its utterances are {name} data; new recordings have more errors")
    found = data_digests(config) | {"test": corpus_digest([test], config.data.text_field)}
    changed = [name for name, digest in {**origin.data, **origin.files}.items() if digest != _now(config, found, name)]
    if changed:
        raise AsrError(f"{run}: its {' and '.join(changed)} changed since it was trained; train again")
    if origin.program.git_commit is not None and origin.program.git_commit.endswith("-dirty"):
        say(f"warning: {run} was trained by a program with changes that are not committed, so nobody else can run it")
    if decoding == "language models" and (config.task != "recognition" or len(config.data.validation) > 1):
        raise AsrError("--lm: is for recognisers with one validation manifest")
    if config.task != "recognition" and (phrases is not None or bleu or by is not None):
        raise AsrError("--phrases, --bleu, --by: are for recognisers; leave them out")
    if phrases is not None and file_digest(phrases) is None:
        raise AsrError(f"{phrases}: no such file of phrases, or it cannot be read")
    steps = Steps(
        recipe=recipe_of(test.as_posix()),
        task=config.task,
        train=config.data.train,
        validation=config.data.validation,
        test=test.as_posix(),
        decoding=decoding,
        phrases=None if phrases is None else phrases.as_posix(),
        bleu=bleu,
        by=by,
    )
    try:
        result = measure(steps, config, run, execute)
        log = read_log(run / LOG_FILE)
        return Receipt(
            receipt=1,
            date=date.today(),
            recipe=steps.recipe,
            commands=steps.told(),
            test=steps.test,
            decoding=decoding,
            phrases=steps.phrases,
            bleu=bleu,
            by=by,
            result=result,
            data={name: digest for name, digest in found.items() if digest is not None},  # type: ignore[misc]
            files={
                name: digest
                for name, digest in {**origin.files, **phrases_digest(steps.phrases)}.items()
                if digest is not None
            },
            training_seconds=float(log[-1]["seconds"]),
            program=origin.program,
            scored_by=this_program(),
            machine=origin.machine,
            config=config.model_dump(mode="json"),
        )
    except ValidationError as error:  # such as a name of thousands of characters
        raise AsrError(f"{run}: {faults_of(error)}") from None


def measure(steps: Steps, config: Config, run: Path, execute: Run) -> Result:
    """Decode the test data with the model in the folder `run`, which gets the hypotheses, and score."""
    for step in steps.decoded(str(run)):
        execute(step)
    hypotheses = Path(steps.hypotheses(str(run)))
    pairs = pair_files(Path(steps.test), hypotheses, config.text.normalizer, config.data.text_field)
    texts = repr([(pair.id, pair.hypothesis) for pair in pairs])
    kept = kept_row(read_log(run / LOG_FILE), RATES[config.task][0])
    rates: dict[RateName, Rate] = {}
    if config.task == "classification":
        references, found, speakers = zip(*((p.reference, p.hypothesis, p.speaker) for p in pairs), strict=True)
        right = accuracy(references, found, None if config.data.text_field == "speaker" else speakers)
        low, high = right.interval
        rates["error_rate"] = Rate(
            errors=right.total - right.correct,
            total=right.total,
            interval=_rounded((100 - high, 100 - low)),
            over=right.resampled,
        )
    else:
        score = score_pairs(pairs)
        rates["cer"], rates["wer"] = map(_rate, (score.cer, score.wer))
    translated = translation_scores([p.reference for p in pairs], [p.hypothesis for p in pairs]) if steps.bleu else {}
    groups = group_by(pairs, steps.by) if steps.by is not None else {}
    return Result(
        rates=rates,
        scores={name: Quality(value=round(one.value, 4), signature=one.signature) for name, one in translated.items()},
        parts={value: _rate(score_pairs(group).wer) for value, group in groups.items()},
        validation={name: round(float(kept[name]), 4) for name in RATES[config.task]},
        weights=signature(run / MODEL_FILE),
        hypotheses=hashlib.sha256(texts.encode("utf-8", "backslashreplace")).hexdigest(),
    )


def _rate(rate: ErrorRate) -> Rate:
    return Rate(errors=rate.errors, total=rate.total, interval=_rounded(rate.interval), over=rate.resampled)


def _rounded(interval: tuple[float, float]) -> tuple[float, float]:
    return round(interval[0], 2), round(interval[1], 2)


def _origin(run: Path) -> Origin:
    """Return the origin of a run that can be repeated. Raises AsrError for any other run."""
    if not is_finished(run) or not (run / CONFIG_FILE).is_file():
        raise AsrError(f"{run}: is no finished run; give the folder of a training that has ended, such as runs/NAME")
    origin = read_origin(run)
    if origin is None:
        raise AsrError(f"{run}: was trained by a version that did not record data, program and machine; train again")
    if origin.continued:
        raise AsrError(f"{run}: was {' and '.join(origin.continued)}, so no single command repeats it; train again")
    if origin.machine.processes > 1:
        raise AsrError(f"{run}: was trained by {origin.machine.processes} processes; receipts are of one process")
    here = this_machine("fp32")
    if (origin.machine.processor, origin.machine.device) != (here.processor, here.device):
        raise AsrError(
            f"{run}: was trained on {origin.machine.processor}, {origin.machine.device}; make the receipt there, not "
            f"on {here.processor}, {here.device}"
        )
    return origin


def _shared(test: Path, manifests: Sequence[str], text_field: str) -> int:
    """Return how many utterances of a test manifest are in other manifests too: at equal places of equal files."""
    return len(_places([test], text_field) & _places(manifests, text_field))


def _places(manifests: Sequence[str | Path], text_field: str) -> set[tuple[Path, float]]:
    found = (one for path in manifests for _, one in scan_manifest(path, text_field=text_field)[0])
    return {(real_path(one.audio), one.offset) for one in found}


def _now(config: Config, data: dict[str, str | None], name: str) -> str | None:
    return {**data, **file_digests(config)}.get(name)


def phrases_digest(path: str | None) -> dict[str, str | None]:
    """Return the digest of a file of phrases by the name that receipts give it; nothing without a file."""
    return {} if path is None else {PHRASES: file_digest(path)}
