"""The score of a model on a test set, computed from a file of references and a file of hypotheses."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.config import Config
from asr.errors import AsrError
from asr.files import read_bytes
from asr.scoring.accuracy import Accuracy, accuracy
from asr.scoring.alignment import confusions, missed
from asr.scoring.files import pair_files, score_pairs
from asr.scoring.tables import Table
from asr.scoring.wer import ErrorRate
from asr.sharing.data import Split, split_of


@dataclass(frozen=True, slots=True)
class TestScore:
    """A score with what it was computed from.

    `rates` are the WER and the CER, or the accuracy of a classifier. `split` describes the references; it is None
    unless they are a manifest.
    """

    __test__ = False  # no test of pytest

    reference: Path
    hypothesis: Path
    digests: tuple[str, str]  # SHA-256 of both files
    rates: tuple[ErrorRate | Accuracy, ...]
    normalizer: str
    utterances: int
    tables: tuple[Table, ...]
    split: Split | None


def score_files(reference: Path, hypothesis: Path, settings: Mapping[str, Any], task: str) -> TestScore:
    """Score hypotheses as `asr score --config` does, with the text rules of the model.

    Raises AsrError for files that cannot be read or do not match.
    """
    if "-" in (str(reference), str(hypothesis)):
        raise AsrError("--score: takes two files, not standard input, because the card names their digests")
    config = Config.model_validate(settings)
    normalizer = config.text.normalizer
    pairs = pair_files(reference, hypothesis, normalizer, config.data.text_field)
    rows = [pair.utterance for pair in pairs if pair.utterance is not None]
    rates: tuple[ErrorRate | Accuracy, ...]
    tables: tuple[Table, ...] = ()
    if task == "classification":
        speakers = [pair.speaker for pair in pairs]
        rates = (accuracy([pair.reference for pair in pairs], [pair.hypothesis for pair in pairs], speakers),)
    else:
        score = score_pairs(pairs)
        rates = (score.wer, score.cer)
        tables = (confusions(score.words), confusions(score.characters), missed(score.words))
    return TestScore(
        reference,
        hypothesis,
        (_digest(reference), _digest(hypothesis)),
        rates,
        str(normalizer),
        len(pairs),
        tables,
        split_of(rows) if len(rows) == len(pairs) else None,
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()
