"""The `config.yaml` that `asr prepare` writes beside its manifests: what the data tells, each with its reason."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from asr.config import Config
from asr.corpus.amount import Amount
from asr.corpus.text_rules import find_rules
from asr.errors import printable
from asr.files import read_text, write_whole
from asr.utterance import Utterance

NAME = "config.yaml"
_HIGHEST_RATE, _LOWEST_RATE = 16000, 8000  # Hz: speech has little above 8 kHz, and telephones carry 4 kHz
_HEAD = "# Written by asr prepare ({}). Change what is wrong: a file that was changed is never replaced."


def write_config(folder: Path, training: Sequence[Utterance], amount: Amount, note: Callable[[str], None]) -> Path:
    """Write `config.yaml` for the manifests `train.jsonl` and `validation.jsonl` in `folder`, and return its path.

    It holds the sample rate and the rules for the texts. A file that a person wrote or changed stays as it is, which
    `note` is told. Raises OutputError.
    """
    path = folder / NAME
    if path.exists() and not _is_own(path):
        note(f"{path}: was written or changed by hand, and stays as it is; delete it to have it written anew")
        return path
    body = "".join(f"{line}\n" for line in _lines(training, amount))
    write_whole(path, f"{_HEAD.format(_digest(body))}\n{body}".encode())
    return path


def describe_config(path: Path) -> Iterator[str]:
    """Yield lines about the configuration at `path`: its sample rate, its text rules, and what was not sure."""
    config = Config.load(path)
    yield f"{path}: {config.features.sample_rate} Hz; texts: {config.text.normalizer}; units: {config.text.units}"
    for line in read_text(path).splitlines():
        setting, _, reason = line.strip().partition("  # ")
        if reason.startswith("not sure"):
            yield f"  {setting}: {reason}"


def _lines(training: Sequence[Utterance], amount: Amount) -> Iterator[str]:
    rate, reason = choose_rate(amount)
    yield from ("data:", "  train: ./train.jsonl", "  validation: ./validation.jsonl")
    yield from ("features:", f"  sample_rate: {rate}  # {reason}", "text:")
    for rule in find_rules(utterance.text or "" for utterance in training):
        yield f"  {rule.setting}: {json.dumps(rule.value, ensure_ascii=False)}  # {printable(rule.reason)}"


def choose_rate(amount: Amount) -> tuple[int, str]:
    """Return the sample rate in Hz for features, and the reason: the rate that most speech has, within limits.

    A rate below that of telephones is raised to it, because a mel filter needs a few frequencies.
    """
    if not amount.rates:
        return _HIGHEST_RATE, "no header of a recording could be read; asr check tells why"
    ((found, part),) = amount.rates.most_common(1)
    share = f"{part / amount.rates.total():.0%} of the speech has" if len(amount.rates) > 1 else "the recordings have"
    if found > _HIGHEST_RATE:
        return _HIGHEST_RATE, f"{share} {found} Hz; speech has little above half of {_HIGHEST_RATE} Hz"
    return max(found, _LOWEST_RATE), f"{share} {found} Hz"


def _is_own(path: Path) -> bool:
    """Return whether a file is as `write_config` wrote it."""
    head, _, body = read_text(path).partition("\n")
    return head == _HEAD.format(_digest(body))


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:8]
