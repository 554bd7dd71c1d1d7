"""The base of all tasks that learn from recordings: batches of utterances, augmented features, pictures."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from asr.batching import Joined, pad
from asr.config import Config
from asr.corpus.manifest import write_manifest
from asr.figures.training import write_training_page
from asr.model import SpeechModel
from asr.run_log import Row
from asr.training import watch
from asr.training.build import build_augment, build_recordings, check_bands, plan_epochs, start_from, summary
from asr.training.data import Corpora
from asr.training.resident import resident
from asr.training.task import Task
from asr.training.validation import parts_of
from asr.training.verdict import verdict

PICTURE_FILE, PAGE_FILE = "training.png", "training.html"
SAMPLES = 3  # validation utterances printed after each epoch
Model = TypeVar("Model", bound=SpeechModel[Any])
Data = TypeVar("Data", bound=Corpora)


class SpeechTask(Task[list[Joined]], Generic[Model, Data]):
    """A task on recordings. A batch is a list of recordings, each of one training utterance or of several."""

    target: str  # name of what the loss is divided by
    errors: tuple[str, ...]  # error rates in percent, fields of the log, that the model file states for its epoch
    baseline_loss: float  # loss in nats per target of a model that ignores the audio

    def __init__(self, config: Config, data: Data, model: Model) -> None:
        """Copy the weights of `training.start_from`, if it is set, and fit the statistics of the features."""
        check_bands(config, model)
        corpus = data.training
        self.config = config
        self.data = data
        self.model = model
        self.module = model.acoustic_model
        if config.training.start_from is not None:
            watch.say(start_from(model, config.training.start_from))
        some = range(0, len(corpus), len(corpus) // 1000 + 1)
        model.features.fit(pad([corpus.audio(index)]) for index in some)
        self.augment = build_augment(config, model)
        self.recordings = build_recordings(config, corpus)
        self.resident = resident(corpus, model.device)
        self.validation_parts = parts_of(
            config.data.validation, data.validation.utterances, text_field=config.data.text_field
        )

    def plans(self, epochs: int | None = None) -> list[list[list[Joined]]]:
        return plan_epochs(self.config, self.data, epochs)

    def planned_epochs(self, row: Row) -> int:
        """Return the number of epochs that the run planned after the epoch of `row`; logs of old versions lack it."""
        return int(row.get("epochs", self.config.training.epochs))

    def padded_samples(self, batch: list[Joined]) -> int:
        """Return the number of samples of a batch with padding and the longest possible pauses."""
        return len(batch) * max(map(self.recordings.most_samples, batch))

    def heaviest(self, batches: Sequence[list[Joined]]) -> list[Joined]:
        """Return the batch with the most audio, which needs most memory."""
        return max(batches, key=self.padded_samples)

    def load_audio(self, batch: list[Joined]) -> tuple[Tensor, Tensor]:
        """Load audio `(B, N)` and lengths `(B,)` in samples, on the device of the model."""
        if self.resident is not None and not any(joined.in_context for joined in batch):
            return self.resident.batch([joined.parts[0] for joined in batch])
        audio, lengths = pad(map(self.recordings.read, batch))
        return audio.to(self.model.device), lengths.to(self.model.device)

    def features(self, audio: Tensor, lengths: Tensor, shortest: Tensor, views: int = 1) -> tuple[Tensor, Tensor]:
        """Compute augmented features `(views * B, T, F)` and their lengths in frames.

        No utterance becomes shorter than `shortest (B,)` encoder frames. `T` is padded to a result of `few_sizes`. The
        views of a batch follow each other and differ in their masks only.
        """
        with torch.autocast(audio.device.type, enabled=False):  # spectrograms need more digits than bf16 has
            features, frames = self.model.features(self.augment.audio(audio, lengths), lengths)
            features, frames = self.augment.features(features, frames, shortest * self.config.model.subsampling)
            features, frames = features.repeat(views, 1, 1), frames.repeat(views)
            features = self.augment.masks(features, frames)
            size = features.shape[1]
            return functional.pad(features, (0, 0, 0, few_sizes(size) - size)), frames

    def check(self, log: Sequence[Row], step: int) -> None:
        watch.stop_if_audio_ignored(log, epochs=self.planned_epochs(log[-1]), step=step)

    def warning(self, row: Row) -> str:
        return watch.audio_warning(row, epochs=self.planned_epochs(row))

    def verdict(self, log: Sequence[Row], kept: Row) -> list[str]:
        return [verdict(log, kept)]

    def save(self, path: Path, row: Row) -> None:
        self.model.summary = summary(self.config, self.data, row, self.errors)
        self.model.save(path)

    @abstractmethod
    def picture(self, path: Path, log: Sequence[Row]) -> None:
        """Draw the learning curve and the output of the model for a validation utterance."""

    def draw(self, out: Path, log: Sequence[Row], *, done: bool = False) -> None:
        self.picture(out / PICTURE_FILE, log)
        write_training_page(
            out / PAGE_FILE,
            log,
            title=f"Training {out.resolve().name}",
            epochs=self.planned_epochs(log[-1]),
            done=done,
            cell=self.config.model.cell,
            frontend=self.config.model.frontend,
            stopped=log[-1].get("stopped"),
        )

    def leave_out(self, batch: list[Joined], path: Path) -> str:
        utterances = [self.data.training.utterances[index] for joined in batch for index in joined.parts]
        write_manifest(path.with_suffix(".jsonl"), utterances)
        return ", ".join(utterance.id for utterance in utterances[:5]) + f", … ({path.with_suffix('.jsonl')})"

    def fingerprint(self, config: Config | None = None) -> str:
        """Return a digest of configuration (default: that of the task), first weights, audio and texts."""
        digest = hashlib.sha256((config or self.config).fingerprint().encode())
        if self.config.training.start_from is not None:
            digest.update(Path(self.config.training.start_from).read_bytes())
        for corpus in (self.data.training, self.data.validation):
            digest.update(corpus.num_samples.tobytes())
            digest.update(repr([(utterance.id, utterance.text) for utterance in corpus.utterances]).encode())
        if self.config.augment.join:
            digest.update(self.recordings.state())
        return digest.hexdigest()


def few_sizes(size: int) -> int:
    """Round a size up to one of few sizes: 16 up to each doubling, 2 % more on average.

    oneDNN and cuDNN make a plan for each new size. oneDNN keeps 1,024 plans. With all sizes, these plans take gigabytes
    and seldom match the next batch.
    """
    step = max(1, 2 ** (size.bit_length() - 5))
    return -(-size // step) * step
