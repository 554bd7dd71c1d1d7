"""The configuration of a training run: typed, validated, frozen; read from YAML and written to YAML.

Configuration stops at the builders: `asr/model.py` (features), `recognition_network` and `classification_network`
(networks), `settings_of` in `asr/corpus/check.py`, and the builders and tasks in `asr/training`. The modules below
them, such as `asr/nn`, `asr/features.py`, `asr/decoding` and `asr/training/augment.py`, take plain keyword arguments.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from asr.cells import Cell
from asr.config_text import SHARDS, apply, explain, locate, parse, to_yaml
from asr.errors import ConfigError
from asr.files import read_text
from asr.text import Normalizer, UnitKind, is_punctuation

_LARGEST_FILE = 1_000_000  # bytes
PATHS = (  # settings that name files of a machine
    ("data", "train"),
    ("data", "validation"),
    ("data", "exclude"),
    ("text", "units_file"),
    ("training", "start_from"),
    ("training", "teachers"),
)
FOLDERS = (("augment", "noise"), ("augment", "rooms"))  # settings that name folders of a machine
_ADDED = {
    "data": ("train_on_empty", "stream", "weights", "temperature", "weight_field"),
    "features": ("pitch",),
    "augment": ("noise", "rooms", "channels", "share"),
    "training": ("kernels", "parts", "epoch_utterances", "teachers", "teacher_weight"),
}  # settings younger than the first checkpoints: see `Config.fingerprint`
SIMULATED = "simulated"  # the value of augment.rooms in place of a folder
Channel = Literal["telephone", "gsm", "opus", "mp3", "narrow", "clipping", "quiet"]


def _one_or_many(value: Any) -> Any:
    """Return a single text as a list of one."""
    return (value,) if isinstance(value, str) else value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(_Section):
    """Manifests, with paths relative to the folder of the configuration, or to that in which the command runs."""

    train: tuple[str, ...] = Field(min_length=1, description="one or more manifests of training utterances (required)")
    validation: tuple[str, ...] = Field(
        min_length=1,
        description="one or more manifests of validation utterances; they decide which epoch is kept (required)",
    )
    exclude: str | None = Field(
        default=None,
        description="file with the ids of training utterances to leave out, one id a line, such as `asr suspects` "
        "writes (default: none)",
    )
    text_field: str = Field(
        default="text",
        min_length=1,
        description="field of a manifest line that holds the transcript or the class (default: text)",
    )

    train_on_empty: bool = Field(
        default=False,
        description="use utterances with an empty text as recordings without speech, such as noise and silence "
        "(default: false, which leaves them out)",
    )
    stream: bool | None = Field(
        default=None,
        description="read training data while it is used, and neither check nor pack it first: for data that is larger "
        "than memory or disk (default: true if train names a folder of shards or an address such as s3://, else false)",
    )
    weights: tuple[float, ...] | None = Field(
        default=None,
        description="share of each manifest of train in the audio of an epoch, one number a manifest (default: by the "
        "number of utterances)",
    )
    temperature: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="shares of the manifests of train by their hours to the power of this number: 1 is in proportion "
        "to hours, 0 gives equal shares (default: none)",
    )

    weight_field: str | None = Field(
        default=None,
        min_length=1,
        description="field of a manifest line that holds the weight of its transcript in the loss, from 0 to 1; a line "
        "without it has 1 (default: none)",
    )

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return _one_or_many(value)

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.weights is not None and self.temperature is not None:
            raise ValueError("has weights and temperature; keep one of them")
        if self.weights is not None and len(self.weights) != len(self.train):
            raise ValueError(
                f"needs one number in weights for each of {len(self.train)} manifests of train (found "
                f"{len(self.weights)})"
            )
        if (self.weights or self.temperature is not None) and len(set(self.train)) < len(self.train):
            raise ValueError("names a manifest of train twice; name it once, and set its share with weights")
        if self.weights is not None and min(self.weights) <= 0:
            raise ValueError("needs weights of more than 0; take a manifest out of train to leave it out")
        return self

    @property
    def is_streamed(self) -> bool:
        """Return whether training data is read while it is used."""
        if self.stream is not None:
            return self.stream
        return any("://" in path or (Path(path) / SHARDS).is_file() for path in self.train)


class FeaturesConfig(_Section):
    """Settings of the features that the network reads."""

    kind: Literal["log_mel", "mfcc", "spectrogram"] = Field(
        default="log_mel", description="kind of features (default: log_mel)"
    )
    sample_rate: int = Field(
        default=16000,
        ge=1000,
        le=192000,
        description="sample rate in Hz to which all recordings are resampled (default: 16000)",
    )
    bins: int = Field(
        default=80,
        ge=1,
        le=512,
        description="number of mel bands for log_mel and mfcc; spectrogram ignores it (default: 80)",
    )
    coefficients: int = Field(
        default=20, ge=1, le=512, description="number of cepstral coefficients for mfcc (default: 20)"
    )
    window_ms: float = Field(
        default=25.0, ge=1, le=1000, description="length of the analysis window in milliseconds (default: 25)"
    )
    hop_ms: float = Field(
        default=10.0,
        ge=1,
        le=1000,
        description="time from one feature frame to the next in milliseconds (default: 10)",
    )
    pitch: int = Field(
        default=0,
        ge=0,
        le=512,
        description="number of pitch bins beside the bins of the spectrum, for languages with tones; 36 is usual, and "
        "needs windows of 50 ms (default: 0)",
    )
    level: Literal["utterance", "running"] = Field(
        default="utterance",
        description="frames that level normalisation uses: `utterance` uses the whole utterance, `running` uses past "
        "frames only, as streaming needs (default: utterance)",
    )
    equalize: bool = Field(
        default=False,
        description="equalise all recordings of a speaker with one filter, which removes differences between "
        "microphones, rooms and voices (default: false)",
    )

    @model_validator(mode="after")
    def _windows_meet(self) -> Self:
        if self.hop_ms > self.window_ms:
            raise ValueError(
                f"needs hop_ms of at most window_ms, {self.window_ms:g}: otherwise no window reads the samples between "
                f"two windows (found {self.hop_ms:g})"
            )
        if self.kind == "mfcc" and self.coefficients > self.bins:
            raise ValueError(f"needs coefficients of at most bins, {self.bins} (found {self.coefficients})")
        return self


class TextConfig(_Section):
    """Normalisation of transcripts, and the units of the model; docs/text.md helps to choose."""

    lower: Literal[False, True, "turkic"] = Field(
        default=False,
        description="convert text to lower case; `turkic` converts I to ı and İ to i (default: false)",
    )
    strip_punctuation: bool = Field(
        default=False, description="replace each punctuation mark and symbol with a space (default: false)"
    )
    keep_inside_words: str = Field(
        default="'",
        description="punctuation marks that strip_punctuation keeps between letters, as in don't (default: ')",
    )
    units: UnitKind = Field(
        default="characters", description="kind of units that the model writes (default: characters)"
    )
    units_file: str | None = Field(
        default=None,
        description="file with the units, one unit a line; without it, units are learned from the training text "
        "(default: none)",
    )

    @field_validator("keep_inside_words")
    @classmethod
    def _only_punctuation(cls, value: str) -> str:
        if letters := "".join(character for character in value if not is_punctuation(character)):
            raise ValueError(f"must contain punctuation only; strip_punctuation never removes {letters!r}")
        return value

    @field_validator("units_file")
    @classmethod
    def _not_of_graphemes(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None and others.data.get("units") == "graphemes":
            raise ValueError("graphemes are learned from the text; remove text.units to use a units file")
        return value

    @property
    def normalizer(self) -> Normalizer:
        return Normalizer(
            lower=self.lower, strip_punctuation=self.strip_punctuation, keep_inside_words=self.keep_inside_words
        )


class ModelConfig(_Section):
    """Settings of the network."""

    frontend: Literal["conv", "stack"] = Field(
        default="conv",
        description="subsampling: `conv` uses two convolutions, `stack` joins neighbouring frames (default: conv)",
    )
    subsampling: Literal[1, 2, 3, 4] = Field(
        default=3,
        description="feature frames per encoder frame (default: chosen by the number of units per second; 3 for "
        "models without CTC)",
    )
    channels: int = Field(
        default=32, ge=1, le=1024, description="channels of each convolution, for frontend conv (default: 32)"
    )
    projection: bool = Field(
        default=False,
        description="add a linear layer between subsampling and the first recurrent layer; it learns more slowly "
        "(default: false)",
    )
    cell: Cell = Field(default="lstm", description="recurrent cell of the encoder (default: lstm)")
    bidirectional: bool = Field(
        default=True, description="read each utterance in both directions; streaming needs false (default: true)"
    )
    hidden: int = Field(
        default=320,
        ge=1,
        le=8192,
        description="size of each recurrent layer, per direction (default: chosen by the hours of training data)",
    )
    layers: int = Field(
        default=3,
        ge=1,
        le=64,
        description="number of recurrent layers (default: chosen by the hours of training data)",
    )
    dropout: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="share of values that dropout sets to 0 in training (default: chosen by the epochs; 0.2 for "
        "classifiers)",
    )
    dropout_mask: Literal["utterance", "frame"] = Field(
        default="frame",
        description="dropout mask: `frame` draws one for each frame; `utterance` draws one for all frames of an "
        "utterance and also drops inputs of the first layer (default: frame)",
    )
    decoder: Literal["ctc", "attention", "joint", "transducer"] = Field(
        default="ctc",
        description="output of the recogniser: CTC, an attention decoder, both (joint), or a recurrent transducer "
        "beside CTC (default: ctc)",
    )
    ctc_weight: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="weight of CTC in the loss of the decoders joint and transducer, and in joint decoding; 0 trains a "
        "transducer alone, without word times (default: 0.3)",
    )

    @field_validator("ctc_weight")
    @classmethod
    def _zero_for_transducers(cls, value: float, others: ValidationInfo) -> float:
        if value == 0 and others.data.get("decoder") != "transducer":
            raise ValueError("must be more than 0 unless model.decoder is transducer")
        return value

    @property
    def encoder(self) -> dict[str, Any]:
        """Arguments of `Encoder` in this section."""
        return self.model_dump(exclude={"decoder", "ctc_weight"})

    @property
    def loss_weights(self) -> tuple[float, float]:
        """Weights of CTC and of the other decoder; they sum to 1."""
        by_ctc = {"ctc": 1.0, "attention": 0.0}.get(self.decoder, self.ctc_weight)
        return by_ctc, 1 - by_ctc


class AugmentConfig(_Section):
    """Changes to each training utterance, drawn anew in every epoch; a value of 0 switches one off."""

    join: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of utterances that are joined with others, or else keep the pauses around them (default: "
        "chosen so that pauses add at most 8 % of audio; 0 for classifiers)",
    )
    noise: str | None = Field(
        default=None,
        min_length=1,
        description="folder of recordings of noise, music or voices, which are mixed with utterances (default: none)",
    )
    noise_snr_db: tuple[float, float] | None = Field(
        default=None,
        description="lowest and highest signal-to-noise ratio in dB, such as [10, 40], of augment.noise, or of white "
        "noise in all utterances if that is not set (default: [5, 25] with augment.noise, else none)",
    )
    rooms: str | None = Field(
        default=None,
        min_length=1,
        description="folder of impulse responses of rooms, or `simulated` for simulated rooms (default: none)",
    )
    channels: tuple[Channel, ...] = Field(
        default=(),
        description="what recordings pass through, one of these for an utterance: telephone, gsm (mobile telephone), "
        "opus (voice messages), mp3, narrow (low sample rate), clipping, quiet (default: none)",
    )
    share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of utterances that augment.noise changes; likewise rooms and channels, each drawn by itself "
        "(default: 0.5)",
    )
    frequency_warp: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="largest relative change of frequencies; 0.2 moves formants by up to 20 % (default: 0.1; 0 for "
        "mfcc and for classifiers)",
    )
    tempo: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="largest relative change of tempo; 0.1 makes speech up to 10 % slower or faster (default: 0.1; 0 "
        "for classifiers)",
    )
    frequency_masks: int = Field(
        default=0,
        ge=0,
        le=100,
        description="number of frequency bands set to 0 in each utterance (default: chosen by the epochs; 0 for mfcc "
        "and for classifiers)",
    )
    frequency_mask_bins: int = Field(
        default=16,
        ge=1,
        le=512,
        description="largest width of a frequency mask in bins (default: an eighth of features.bins; 16 for "
        "classifiers)",
    )
    time_masks_per_second: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="average number of time masks for each second of speech (default: chosen by the epochs; 0 for "
        "classifiers)",
    )
    time_mask_ms: float = Field(
        default=100.0, gt=0, le=10000, description="largest length of a time mask in milliseconds (default: 100)"
    )

    @field_validator("channels", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return _one_or_many(value)

    @field_validator("noise_snr_db")
    @classmethod
    def _lowest_first(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not -100 <= value[0] <= value[1] <= 200:
            raise ValueError("must be the lowest and the highest ratio, in this order, from -100 to 200 dB")
        return value

    @model_validator(mode="after")
    def _share_of_something(self) -> Self:
        is_set = self.share != AugmentConfig.model_fields["share"].default
        if is_set and not (self.noise or self.rooms or self.channels):
            raise ValueError("has a share, but no noise, rooms or channels; set one of them, or leave share out")
        return self


class TrainingConfig(_Section):
    """Settings of the training loop."""

    start_from: str | None = Field(
        default=None, description="model file whose weights training starts from (default: random weights)"
    )
    epochs: int = Field(
        default=30, ge=1, le=10000, description="number of epochs (default: chosen by the number of utterances)"
    )
    budget_minutes: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="training time in minutes; chooses model size, epochs and batch_utterances to fit (default: none)",
    )
    epoch_utterances: int | None = Field(
        default=None,
        repr=False,  # part of the fingerprints of older language-model checkpoints
        ge=1,
        le=10**7,
        description="utterances in an epoch; the next epoch goes on where this one ended (default: all, and at most "
        "500000 of streamed data)",
    )
    batch_seconds: float = Field(
        default=120.0, gt=0, le=1e6, description="most seconds of audio in a batch, including padding (default: 120)"
    )
    batch_utterances: int = Field(
        default=64,
        ge=1,
        le=10**6,
        description="most utterances in a batch (default: chosen by the number of utterances)",
    )
    parts: int = Field(
        default=1,
        ge=1,
        le=10**6,
        repr=False,  # not part of the fingerprints of older language-model checkpoints
        description="parts into which each process divides its share of a batch, to save memory; the loss stays that "
        "of the whole batch (default: 1)",
    )
    learning_rate: float = Field(
        default=2e-3, gt=0, le=1, description="highest learning rate, reached after warm-up (default: 0.002)"
    )
    warmup: float = Field(
        default=0.1, ge=0, lt=1, description="share of all steps in which the learning rate rises (default: 0.1)"
    )
    weight_decay: float = Field(
        default=0.3,
        ge=0,
        le=1000,
        description="weight decay of AdamW: each step shrinks weights by this times the learning rate (default: 0.3)",
    )
    consistency: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="weight of the consistency loss between two masked views of each utterance (CR-CTC); 0.2 is usual, "
        "0 disables it (default: 0)",
    )
    gradient_clip: float = Field(
        default=1.0, gt=0, description="largest norm of the gradient; larger gradients are scaled down (default: 1)"
    )
    patience: int = Field(
        default=20,
        ge=1,
        description="epochs without a better validation CER or error rate after which training stops (default: two "
        "fifths of the epochs, at least 20)",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="number format; `auto` uses bf16 if the processor multiplies matrices in it (default: auto)",
    )
    kernels: Literal["auto", "torch"] = Field(
        default="auto",
        repr=False,  # not part of the fingerprints of older language-model checkpoints
        description="LSTM code in training: `auto` uses our compiled steps where they run, `torch` uses nn.LSTM, which "
        "is slower (default: auto)",
    )
    checkpoint_minutes: float = Field(
        default=5.0,
        gt=0,
        description="minutes between checkpoints; each epoch also ends with a checkpoint (default: 5)",
    )
    teachers: tuple[str, ...] = Field(
        default=(),
        repr=False,  # not part of the fingerprints of older language-model checkpoints
        description="model files whose averaged log-probabilities the model learns beside the transcripts; `asr "
        "distil` sets them (default: none)",
    )
    teacher_weight: float = Field(
        default=0.5,
        ge=0,
        le=1,
        repr=False,
        description="share of the teachers in the loss; the rest is for the transcripts (default: 0.5)",
    )
    trackers: tuple[str, ...] = Field(
        default=(),
        description="experiment trackers that Accelerate supports, such as tensorboard or wandb (default: none)",
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="seed of all random numbers (default: 0)")

    @field_validator("trackers", "teachers", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return _one_or_many(value)


class Config(_Section):
    """The whole configuration of a run, as in `config.yaml` and in model files."""

    task: Literal["recognition", "classification"] = Field(
        default="recognition",
        description="what to train: a recogniser, or a classifier that gives one class for a whole utterance, from "
        "data.text_field (default: recognition)",
    )
    data: DataConfig
    features: FeaturesConfig = FeaturesConfig()
    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    training: TrainingConfig = TrainingConfig()

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Config":
        """Read a YAML file and apply overrides such as `training.epochs=20`.

        A relative path in the file is looked up beside the file, then in the current folder; see `locate`. Raises
        ConfigError, which names the file or the override, the setting, the value found and the values allowed.
        """
        path = Path(path)
        if not path.is_file():
            raise ConfigError(
                f"{path}: no such configuration file, and no such folder; let asr prepare write one: "
                "asr prepare FOLDER -o data/NAME; recipes/fsdd/config.yaml is an example"
            )
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path}: has more than {_LARGEST_FILE // 1000} kB, and is no configuration")
        tree = parse(read_text(path, ConfigError), str(path))
        if not isinstance(tree, dict):
            raise ConfigError(
                f"{path}: must contain sections such as `data:` and `model:`, found {type(tree).__name__}"
            )
        locate(tree, PATHS, path)
        locate(tree, FOLDERS, path, folders=True, words=(SIMULATED,))
        set_by = {}
        for override in overrides:
            set_by[apply(tree, override)] = f"--set {override}"
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(explain(error, cls, str(path), set_by)) from None

    def overridden(self, overrides: Sequence[str]) -> "Config":
        """Return the configuration with overrides such as `training.epochs=20`. The errors are those of `load`."""
        tree = self.model_dump(mode="json", exclude_unset=True)
        set_by = {apply(tree, override): f"--set {override}" for override in overrides}
        try:
            return type(self).model_validate(tree)
        except ValidationError as error:
            raise ConfigError(explain(error, type(self), "--set", set_by)) from None

    def to_yaml(self) -> str:
        """Return the configuration as YAML, with every default written out; `Config.load` reads it back equal."""
        return to_yaml(self.model_dump(mode="json"))

    def fingerprint(self) -> str:
        """Return YAML that is equal for equal runs, also for a run that an older version of the program began.

        Settings in `_ADDED` are left out at their default, because older versions did not write them.
        """
        tree = self.model_dump(mode="json")
        for section, names in _ADDED.items():
            settings = getattr(self, section)
            for name in names:
                if getattr(settings, name) == type(settings).model_fields[name].default:
                    del tree[section][name]
        return to_yaml(tree)
