"""The receipt of a number: data, settings, program, machine and counts, as one JSON file.

A receipt may come from a stranger. It holds no command that is run: `asr/receipts/steps.py` makes the commands from its
fields, which are checked first. The commands in the file are for readers, and must be those that the fields give.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from asr.config import Config
from asr.config_text import explain
from asr.corpus.manifest import SUFFIXES
from asr.corpus.remote import is_url
from asr.errors import AsrError
from asr.files import read_bytes, to_json, write_whole
from asr.origin import Digest, Facts, Machine, Program, Text
from asr.receipts.steps import Decoding, Steps
from asr.scoring.translation import ScoreName

DECIMALS = 1  # decimals of the percentages that tables quote
_LARGEST = 200_000  # bytes
PathText = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]+$")]
RecipeName = Annotated[str, StringConstraints(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
RateName = Literal["cer", "wer", "error_rate"]
RATES: dict[str, tuple[RateName, ...]] = {"recognition": ("cer", "wer"), "classification": ("error_rate",)}
RATE_NAMES: dict[RateName, str] = {"cer": "CER", "wer": "WER", "error_rate": "error rate"}  # words for people
SCORE_NAMES: dict[ScoreName, str] = {"bleu": "BLEU", "chrf": "chrF2"}
PHRASES = "phrases"  # name of the file of phrases among the files of a receipt


class Rate(Facts):
    """Errors among the characters, words or recordings of the references, with the 95 % interval in percent."""

    errors: int = Field(ge=0)
    total: int = Field(gt=0)
    interval: tuple[float, float]
    over: Text

    @property
    def percent(self) -> float:
        return 100 * self.errors / self.total

    def __str__(self) -> str:
        return f"{self.percent:.2f} % [{self.errors} / {self.total}]"


class Quality(Facts):
    """A score of translations from 0 to 100, and sacreBLEU's signature: how it was computed."""

    value: float = Field(ge=0, le=101)  # sacreBLEU's sums of logarithms end a little above 100
    signature: Text

    def __str__(self) -> str:
        return f"{self.value:.2f}"


class Result(Facts):
    """The result of one training and one decoding: counts on the test data, digests of model and hypotheses.

    `parts` are the words of each value of a field, such as of each speaker.
    """

    rates: dict[RateName, Rate] = Field(min_length=1)
    scores: dict[ScoreName, Quality] = Field(default_factory=dict)
    parts: dict[Text, Rate] = Field(default_factory=dict, max_length=200)
    validation: dict[RateName, float]
    weights: Digest
    hypotheses: Digest

    def lines(self) -> dict[str, str]:
        """Return each rate and score in words, by its name in words."""
        rates = {RATE_NAMES[name]: str(rate) for name, rate in self.rates.items()}
        return rates | {SCORE_NAMES[name]: str(score) for name, score in self.scores.items()}


class Receipt(Facts):
    """The receipt of a number."""

    receipt: Literal[1]
    date: date
    recipe: RecipeName | None
    commands: tuple[Annotated[str, StringConstraints(max_length=20_000)], ...] = Field(max_length=10)
    test: PathText
    decoding: Decoding
    phrases: PathText | None = None
    bleu: bool = False
    by: Text | None = None
    result: Result
    data: dict[Literal["train", "validation", "test"], Digest] = Field(min_length=3)
    files: dict[Text, Digest] = Field(max_length=10)
    training_seconds: float = Field(ge=0)
    program: Program
    scored_by: Program
    machine: Machine
    config: dict[str, Any]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        config = self.settings()
        require_manifests((self.test, *config.data.train, *config.data.validation))
        if tuple(self.result.rates) != RATES[config.task]:
            raise ValueError(f"result.rates: must be {' and '.join(RATES[config.task])}, the rates of {config.task}")
        if self.phrases is not None and (self.phrases.startswith("-") or is_url(self.phrases)):
            raise ValueError(f"phrases: {self.phrases[:100]} is no file of this machine")
        if len({self.decoding == "phrases", self.phrases is not None, PHRASES in self.files}) > 1:
            raise ValueError("phrases: the decoding, the file of phrases and its digest go together")
        if self.bleu != bool(self.result.scores) or (self.by is not None) != bool(self.result.parts):
            raise ValueError("result: bleu goes with result.scores, by with result.parts")
        told = self.steps().told()
        if self.commands != told:
            raise ValueError(f"commands: are not those that its fields give, which are: {'; '.join(told)}")
        return self

    def settings(self) -> Config:
        """Return the configuration. Raises AsrError for a setting that is wrong or that a receipt must not have."""
        try:
            config = Config.model_validate(self.config)
        except ValidationError as error:
            raise AsrError(explain(error, Config, "config", {})) from None
        check_settings(config)
        return config

    def steps(self) -> Steps:
        """Return the commands that measure again."""
        config = self.settings()
        return Steps(
            recipe=self.recipe,
            task=config.task,
            train=config.data.train,
            validation=config.data.validation,
            test=self.test,
            decoding=self.decoding,
            phrases=self.phrases,
            bleu=self.bleu,
            by=self.by,
        )


def require_manifests(paths: Sequence[str]) -> None:
    """Raise AsrError for a path that is not the name of a manifest on this machine, such as an option or an address."""
    for path in paths:
        if path.startswith("-") or Path(path).suffix not in SUFFIXES or is_url(path):
            raise AsrError(f"{path[:100]}: is no manifest of this machine: {', '.join(SUFFIXES)}")


def check_settings(config: Config) -> None:
    """Raise AsrError for settings of a run that cannot be measured again elsewhere."""
    if config.training.budget_minutes is not None:
        raise AsrError(
            "training.budget_minutes: what a time budget gives depends on the speed of the machine; train without it"
        )
    if config.training.trackers:
        raise AsrError("training.trackers: a receipt reports to no tracker; train without it")
    if config.data.is_streamed:
        raise AsrError("data.stream: streamed data has no digest of its recordings; train on manifests")


def faults_of(error: ValidationError) -> str:
    """Return the first three faults that pydantic found, with the names of the fields."""
    faults = [f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip()[:300] for fault in error.errors()]
    return "; ".join(faults[:3])


def require_receipt_or_nothing(path: Path) -> None:
    """Raise AsrError if a file `path` is there and is no receipt, so that no other file is replaced by one."""
    if path.exists():
        try:
            read_receipt(path)
        except AsrError as error:
            raise AsrError(f"{error}; it is not replaced: name another file with -o") from None


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write a receipt."""
    write_whole(path, f"{to_json(receipt.model_dump(mode='json'), indent=1)}\n".encode())


def read_receipt(path: Path) -> Receipt:
    """Read and check a receipt. Raises AsrError that names the file and the first faults."""
    if not path.is_file():
        raise AsrError(f"{path}: no such receipt; `asr receipt RUN TEST -o FILE` makes one")
    if path.stat().st_size > _LARGEST:
        raise AsrError(f"{path}: has more than {_LARGEST // 1000} kB, and is no receipt")
    try:
        return Receipt.model_validate_json(read_bytes(path))
    except ValidationError as error:
        raise AsrError(f"{path}: is no receipt of this version: {faults_of(error)}") from None
    except AsrError as error:
        raise AsrError(f"{path}: {error}") from None
