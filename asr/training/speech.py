"""What all tasks share that learn from recordings: batches of utterances, augmented features, checks of the data."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain
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
from asr.training.augment import join
from asr.training.build import build_augment, pause_range, plan_epochs, start_from, summary
from asr.training.data import Corpora
from asr.training.resident import resident
from asr.training.task import Task

PICTURE_FILE, PAGE_FILE = "training.png", "training.html"
SAMPLES = 3  # validation utterances shown after each epoch
Model = TypeVar("Model", bound=SpeechModel[Any])
Data = TypeVar("Data", bound=Corpora)


class SpeechTask(Task[list[Joined]], Generic[Model, Data]):
    """A batch is a list of recordings, each of one utterance or of joined ones, by index in the training data."""

    target: str  # what the loss is divided by
    errors: tuple[str, ...]  # fields of a row, in percent, that the model file tells of its epoch
    not_listening: float  # loss in nats of a model that ignores the recordings

    def __init__(self, config: Config, data: Data, model: Model) -> None:
        """Takes the weights of `training.start_from`, if it is set, and fits the statistics of features."""
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
        self.pause = pause_range(config)  # between joined utterances, in samples
        self.resident = resident(corpus, model.device)

    def plans(self) -> list[list[list[Joined]]]:
        return plan_epochs(self.config, self.data)

    def padded_samples(self, batch: list[Joined]) -> int:
        """Samples of a batch, padding and the longest pauses included."""
        num_samples = self.data.training.num_samples
        longest = max(num_samples[list(parts)].sum() + 2 * self.pause[1] * (len(parts) > 1) for parts in batch)
        return len(batch) * int(longest)

    def heaviest(self, batches: Sequence[list[Joined]]) -> list[Joined]:
        """The most audio."""
        return max(batches, key=self.padded_samples)

    def load_audio(self, batch: list[Joined]) -> tuple[Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples, on the device."""
        if self.resident is not None and all(len(parts) == 1 for parts in batch):
            return self.resident.batch([index for (index,) in batch])
        recordings = ([self.data.training.audio(index) for index in parts] for parts in batch)
        audio, lengths = pad(join(parts, self.pause) if parts[1:] else parts[0] for parts in recordings)
        return audio.to(self.model.device), lengths.to(self.model.device)

    def features(self, audio: Tensor, lengths: Tensor, shortest: Tensor, views: int = 1) -> tuple[Tensor, Tensor]:
        """Augmented features `(views * B, T, F)` and lengths, none below `shortest` `(B,)` encoder frames.

        `T` is one of `few_sizes`. The views of a batch, one after the other, differ in what their masks hide.
        """
        with torch.autocast(audio.device.type, enabled=False):  # spectrograms need more digits than bf16 has
            features, frames = self.model.features(self.augment.audio(audio, lengths), lengths)
            features, frames = self.augment.features(features, frames, shortest * self.config.model.subsampling)
            features, frames = features.repeat(views, 1, 1), frames.repeat(views)
            features = self.augment.masks(features, frames)
            size = features.shape[1]
            return functional.pad(features, (0, 0, 0, few_sizes(size) - size)), frames

    def check(self, log: Sequence[Row], step: int) -> None:
        watch.stop_if_deaf(log, epochs=self.config.training.epochs, step=step)

    def save(self, path: Path, row: Row) -> None:
        self.model.summary = summary(self.config, self.data, row, self.errors)
        self.model.save(path)

    @abstractmethod
    def picture(self, path: Path, log: Sequence[Row]) -> None:
        """Draws the learning curve, and what the model hears."""

    def draw(self, out: Path, log: Sequence[Row], *, done: bool = False) -> None:
        self.picture(out / PICTURE_FILE, log)
        write_training_page(
            out / PAGE_FILE,
            log,
            title=f"Training {out.resolve().name}",
            epochs=self.config.training.epochs,
            done=done,
            cell=self.config.model.cell,
            frontend=self.config.model.frontend,
        )

    def leave_out(self, batch: list[Joined], path: Path) -> str:
        utterances = [self.data.training.utterances[index] for index in chain.from_iterable(batch)]
        write_manifest(path.with_suffix(".jsonl"), utterances)
        return ", ".join(utterance.id for utterance in utterances[:5]) + f", … ({path.with_suffix('.jsonl')})"

    def fingerprint(self) -> str:
        """A digest of configuration, first weights, audio and texts."""
        digest = hashlib.sha256(self.config.fingerprint().encode())
        if self.config.training.start_from is not None:
            digest.update(Path(self.config.training.start_from).read_bytes())
        for corpus in (self.data.training, self.data.validation):
            digest.update(corpus.num_samples.tobytes())
            digest.update(repr([(utterance.id, utterance.text) for utterance in corpus.utterances]).encode())
        return digest.hexdigest()


def few_sizes(size: int) -> int:
    """The next of sizes of which there are 16 up to each doubling, 2 % more on average.

    oneDNN and cuDNN plan what they compute anew for each size. oneDNN keeps 1,024 plans, which where all sizes come are
    gigabytes, and not those that come next.
    """
    step = max(1, 2 ** (size.bit_length() - 5))
    return -(-size // step) * step
