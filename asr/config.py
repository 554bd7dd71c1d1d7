"""The whole configuration of a training run: typed, validated, frozen. YAML in, YAML out.

Modules never see these classes; the builders in `model.py` and `training/build.py` take them apart into plain
arguments.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from asr.errors import ConfigError
from asr.text import Normalizer, UnitKind, is_punctuation


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Section):
    """Manifests, relative to the folder the command is run in."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    exclude: str | None = Field(
        default=None, description="a file of ids, one a line, of training utterances to leave out: see `asr suspects`"
    )
    text_field: str = Field(
        default="text", min_length=1, description="of a line: what is to be written for its audio, or its class"
    )

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class FeaturesConfig(_Section):
    kind: Literal["log_mel", "mfcc", "spectrogram"] = "log_mel"
    sample_rate: int = Field(default=16000, ge=1000, le=192000, description="Hz; recordings are resampled to it")
    bins: int = Field(default=80, ge=1, le=512, description="mel bands (log_mel, mfcc); the spectrogram ignores it")
    coefficients: int = Field(default=20, ge=1, le=512, description="cepstral coefficients (mfcc)")
    window_ms: float = Field(default=25.0, gt=0, le=1000)
    hop_ms: float = Field(default=10.0, gt=0, le=1000)
    level: Literal["utterance", "running"] = Field(
        default="utterance", description="what it is normalised over; running: what was heard so far, as a stream needs"
    )
    equalize: bool = Field(
        default=False,
        description="one filter for all recordings of a speaker evens out microphone, room and voice",
    )


class TextConfig(_Section):
    """How transcripts are normalised, and what the units of the model are; docs/text.md tells which to choose."""

    lower: Literal[False, True, "turkic"] = Field(default=False, description="turkic: I becomes ı, İ becomes i")
    strip_punctuation: bool = Field(default=False, description="a space for each punctuation mark and symbol")
    keep_inside_words: str = Field(default="'", description="what strip_punctuation keeps between letters, as in don't")
    units: UnitKind = "characters"
    units_file: str | None = Field(default=None, description="one unit a line, instead of learning them from the text")

    @field_validator("keep_inside_words")
    @classmethod
    def _only_punctuation(cls, value: str) -> str:
        if letters := "".join(character for character in value if not is_punctuation(character)):
            raise ValueError(f"must hold punctuation only; {letters!r} is never stripped")
        return value

    @field_validator("units_file")
    @classmethod
    def _not_of_graphemes(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None and others.data.get("units") == "graphemes":
            raise ValueError("graphemes are learned from the text; with a file, leave text.units out")
        return value

    @property
    def normalizer(self) -> Normalizer:
        return Normalizer(
            lower=self.lower, strip_punctuation=self.strip_punctuation, keep_inside_words=self.keep_inside_words
        )


class ModelConfig(_Section):
    frontend: Literal["conv", "stack"] = Field(default="conv", description="stack: frames side by side, no convolution")
    subsampling: Literal[1, 2, 3, 4] = Field(
        default=3, description="feature frames per encoder frame; unless set, chosen by the units a second"
    )
    channels: int = Field(default=32, ge=1, description="of the convolutions (conv)")
    projection: bool = Field(
        default=False, description="a linear layer between subsampling and the first recurrent one; slower to learn"
    )
    cell: Literal["lstm", "gru", "rnn_tanh", "rnn_relu"] = "lstm"
    bidirectional: bool = True
    hidden: int = Field(default=320, ge=1, description="per direction; unless set, chosen by the hours of data")
    layers: int = Field(default=3, ge=1, description="like hidden, chosen unless set")
    dropout: float = Field(default=0.2, ge=0, lt=1)
    dropout_mask: Literal["utterance", "frame"] = Field(
        default="frame", description="utterance: one mask for all frames of it, and for what the first layer gets, too"
    )
    decoder: Literal["ctc", "attention", "joint"] = Field(default="ctc", description="joint: both on one encoder")
    ctc_weight: float = Field(default=0.3, gt=0, lt=1, description="of CTC in the loss and the scores (joint)")

    @property
    def encoder(self) -> dict[str, Any]:
        """The arguments of `Encoder` among these."""
        return self.model_dump(exclude={"decoder", "ctc_weight"})

    @property
    def loss_weights(self) -> tuple[float, float]:
        """Those of CTC and of the attention decoder; they sum to 1."""
        by_ctc = {"ctc": 1.0, "attention": 0.0, "joint": self.ctc_weight}[self.decoder]
        return by_ctc, 1 - by_ctc


class AugmentConfig(_Section):
    """What training does to each utterance, anew in every epoch. Zero switches a part off."""

    join: float = Field(
        default=0.0, ge=0, le=1, description="probability of being joined with another, faint noise between and around"
    )
    noise_snr_db: tuple[float, float] | None = Field(
        default=None, description="white noise at a ratio drawn from this range"
    )
    frequency_warp: float = Field(default=0.0, ge=0, lt=0.5, description="0.2 moves formants by up to 20 % either way")
    tempo: float = Field(default=0.0, ge=0, lt=0.5, description="0.1 makes speech up to 10 % faster or slower")
    frequency_masks: int = Field(default=0, ge=0)
    frequency_mask_bins: int = Field(default=16, ge=1)
    time_masks_per_second: float = Field(default=0.0, ge=0)
    time_mask_ms: float = Field(default=100.0, gt=0)


class TrainingConfig(_Section):
    start_from: str | None = Field(default=None, description="a model file whose weights to begin with")
    epochs: int = Field(default=30, ge=1, description="unless set, chosen by the number of utterances")
    budget_minutes: float | None = Field(
        default=None, gt=0, description="chooses size, epochs and batch_utterances so that training takes so long"
    )
    batch_seconds: float = Field(default=120.0, gt=0, description="audio in a batch, padding included")
    batch_utterances: int = Field(default=64, ge=1, description="at most; like epochs, chosen unless set")
    learning_rate: float = Field(default=2e-3, gt=0, description="the highest, after warm-up")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of all steps")
    weight_decay: float = Field(default=0.3, ge=0, description="of AdamW: a step shrinks weights by it times the rate")
    consistency: float = Field(
        default=0.0,
        ge=0,
        description="of two views of each utterance under other masks (CR-CTC); 0.2 is usual, 0 is one",
    )
    gradient_clip: float = Field(default=1.0, gt=0, description="largest norm")
    patience: int = Field(default=20, ge=1, description="epochs without a better validation CER before training stops")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpoint_minutes: float = Field(default=5.0, gt=0, description="between checkpoints; one also ends each epoch")
    trackers: tuple[str, ...] = Field(default=(), description="tensorboard, wandb, … that Accelerate knows")
    seed: int = Field(default=0, ge=0)


class Config(_Section):
    task: Literal["recognition", "classification"] = Field(
        default="recognition", description="classification: one class for a whole utterance, that in data.text_field"
    )
    data: DataConfig
    features: FeaturesConfig = FeaturesConfig()
    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    training: TrainingConfig = TrainingConfig()

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Config":
        """Reads YAML and applies overrides like `training.epochs=20`.

        Raises ConfigError that names the file or the override, the field, what was found and what is allowed.
        """
        path = Path(path)
        if not path.is_file():
            raise ConfigError(f"{path}: no such configuration file")
        try:
            tree = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: is not YAML: {error}") from None
        if not isinstance(tree, dict):
            raise ConfigError(f"{path}: must hold sections such as `data:` and `model:`, found {type(tree).__name__}")
        set_by = {}
        for override in overrides:
            set_by[_apply(tree, override)] = f"--set {override}"
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(_explain(error, str(path), set_by)) from None

    def to_yaml(self) -> str:
        """The configuration with every default written out; `Config.load` reads it back equal."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _apply(tree: dict[str, Any], override: str) -> str:
    key, separator, value = override.partition("=")
    path = key.strip().split(".")
    if not separator or not all(path):
        raise ConfigError(f"--set {override}: must look like training.epochs=20")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: {value!r} is not a YAML value") from None
    for name in path[:-1]:
        section = tree.setdefault(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: {name} is a value, not a section")
        tree = section
    tree[path[-1]] = parsed
    return key.strip()


def _explain(error: ValidationError, path: str, set_by: dict[str, str]) -> str:
    lines = []
    for fault in error.errors():
        field = ".".join(str(part) for part in fault["loc"])
        source = next((flag for key, flag in set_by.items() if field == key or field.startswith(key + ".")), path)
        found = "" if fault["type"] in ("missing", "extra_forbidden") else f" (found {fault['input']!r})"
        message = {"missing": "is required", "extra_forbidden": f"is not an option; {_options(fault['loc'])}"}
        lines.append(f"{source}: {field} {message.get(fault['type'], fault['msg'])}{found}")
    return "\n".join(lines)


def _options(location: tuple[int | str, ...]) -> str:
    section: Any = Config
    for part in location[:-1]:
        section = section.model_fields[str(part)].annotation
    return "there are " + ", ".join(section.model_fields)
