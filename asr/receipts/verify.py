"""Measure again what a receipt states, and compare."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asr.config import Config
from asr.corpus.digest import corpus_digest
from asr.errors import AsrError
from asr.files import to_json, write_whole
from asr.origin import Machine, Program
from asr.receipts.measure import measure, phrases_digest
from asr.receipts.receipt import DECIMALS, RATE_NAMES, SCORE_NAMES, Receipt, Result
from asr.receipts.steps import Run, preparation
from asr.run_log import CONFIG_FILE
from asr.training.folder import is_finished
from asr.training.record import data_digests, file_digests, this_machine, this_program

Verdict = Literal["equal", "equal within rounding", "different"]


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on a receipt, with the result that was measured again.

    `changed` names what the program and the machine have in another way than those of the receipt: `processor`.
    """

    receipt: Receipt
    found: Result
    verdict: Verdict
    changed: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return a line for each rate and score, and the verdict with what it rests on."""
        stated, now = self.receipt.result, self.found.lines()
        lines = [f"{name} {value}; now {now[name]}" for name, value in stated.lines().items()]
        details = {
            "equal": f"{'equal' if stated.weights == self.found.weights else 'other'} weights, equal hypotheses"
            if stated.hypotheses == self.found.hypotheses
            else "other hypotheses, equal numbers of errors",
            "equal within rounding": f"rates rounded to {DECIMALS} decimal are equal, numbers of errors are not",
            "different": "; ".join(self._inside()),
        }
        return [*lines, f"{self.verdict}: {details[self.verdict]}"]

    def _inside(self) -> list[str]:
        """Say of each rate whether it is inside the interval that the receipt states, of each score how it differs."""
        texts = []
        for name, rate in self.receipt.result.rates.items():
            low, high = rate.interval
            place = "inside" if low <= self.found.rates[name].percent <= high else "outside"
            texts.append(
                f"the new {RATE_NAMES[name]} is {place} the 95 % interval of the receipt, {low:.2f}-{high:.2f}"
            )
        for metric, score in self.receipt.result.scores.items():
            change = self.found.scores[metric].value - score.value
            texts.append(f"the new {SCORE_NAMES[metric]} differs by {change:+.2f}")
        if self.changed:
            texts.append(f"other than in the receipt, which may be why: {', '.join(self.changed)}")
        return texts


def verify(
    receipt: Receipt, folder: Path, *, execute: Run, prepare: Callable[[Path], None], say: Callable[[str], None]
) -> Verification:
    """Prepare the data if it is missing, train, decode and score as the receipt states; return the comparison.

    `execute` runs a command of `asr`, `prepare` the program that prepares a recipe of this checkout. The run is in a
    folder of its own in `folder`. If the same model was already trained there, for a receipt of other test data or
    another decoding, it is used again. Raises AsrError if data differs from that of the receipt, or if a command fails.
    """
    config, steps = receipt.settings(), receipt.steps()
    manifests = [Path(path) for path in (*config.data.train, *config.data.validation, receipt.test)]
    missing = [path for path in manifests if not path.is_file()]
    if missing and receipt.recipe is not None:
        say(f"{missing[0]}: is not there yet; preparing the recipe {receipt.recipe}")
        prepare(preparation(receipt.recipe))
    _require_data(receipt, config)
    changed = differences(receipt.program, receipt.machine, this_program(), this_machine(config.training.precision))
    for line in changed.values():
        say(line)
    training = to_json([receipt.config, receipt.machine.threads]).encode()
    place = folder / hashlib.sha256(training).hexdigest()[:16]
    run = place / "run"
    if is_finished(run):
        say("the model of this receipt is already trained, for another receipt")
    else:
        place.mkdir(exist_ok=True)
        write_whole(place / CONFIG_FILE, config.to_yaml().encode())
        execute(steps.training(str(place / CONFIG_FILE), str(run)))
    found = measure(steps, config, run, execute)
    return Verification(receipt, found, judge(receipt.result, found), tuple(changed))


def judge(stated: Result, found: Result) -> Verdict:
    """Compare two results: by the numbers of errors and scores, and else by both as tables quote them."""
    if stated.parts.keys() != found.parts.keys():
        return "different"
    pairs = [(rate, found.rates[name]) for name, rate in stated.rates.items()]
    pairs += [(rate, found.parts[value]) for value, rate in stated.parts.items()]
    scores = [(score.value, found.scores[name].value) for name, score in stated.scores.items()]
    if all((a.errors, a.total) == (b.errors, b.total) for a, b in pairs) and all(a == b for a, b in scores):
        return "equal"
    numbers = [*((a.percent, b.percent) for a, b in pairs), *scores]
    if all(f"{a:.{DECIMALS}f}" == f"{b:.{DECIMALS}f}" for a, b in numbers):
        return "equal within rounding"
    return "different"


def differences(program: Program, machine: Machine, now: Program, here: Machine) -> dict[str, str]:
    """Say each difference of program and machine, which may change the result, by its name."""
    then = {"commit": program.git_commit, **program.versions, **machine.model_dump()}
    today = {"commit": now.git_commit, **now.versions, **here.model_dump()}
    return {
        name: f"{name}: the receipt has {then.get(name)}, now {today.get(name)}; the result may differ"
        for name in dict.fromkeys([*then, *today])
        if then.get(name) != today.get(name)
    }


def _require_data(receipt: Receipt, config: Config) -> None:
    """Raise AsrError if a manifest is missing, or if recordings, texts or files differ from those of the receipt."""
    for path in (*config.data.train, *config.data.validation, receipt.test):
        if not Path(path).is_file():
            raise AsrError(f"{path}: no such manifest; run the command in the folder that has the data of the receipt")
    data = data_digests(config) | {"test": corpus_digest([receipt.test], config.data.text_field)}
    found = {**data, **file_digests(config), **phrases_digest(receipt.phrases)}
    stated = {str(name): digest for name, digest in (*receipt.data.items(), *receipt.files.items())}
    differ = [name for name in dict.fromkeys([*stated, *found]) if stated.get(name) != found.get(name)]
    if differ:
        raise AsrError(
            f"{' and '.join(differ)}: other recordings or texts than those of the receipt, so nothing was trained; get "
            "the corpus of the receipt, or remove the folder of its manifests to prepare it again"
        )
