"""The base of all tasks that learn from recordings: batches of utterances, augmented features, pictures."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asr.batching import Joined, pad
from asr.config import Config
from asr.corpus.manifest import with_hypothesis, write_manifest
from asr.errors import AudioError, TrainingError
from asr.figures.training import write_training_page
from asr.model import SpeechModel
from asr.run_log import HYPOTHESES_FILE, Row
from asr.training import watch
from asr.training.build import (
    build_augment,
    build_recordings,
    check_bands,
    is_keyed,
    plan_epochs,
    start_from,
    summary,
)
from asr.training.data import Corpora
from asr.training.epochs import Epochs
from asr.training.hardware import processes
from asr.training.resident import resident
from asr.training.streamed import Readings
from asr.training.task import Task
from asr.training.validation import parts_of
from asr.training.verdict import verdict

PICTURE_FILE, PAGE_FILE = "training.png", "training.html"
_FITTED = 1000  # utterances, about, that the statistics of the features are fitted on
_AHEAD = 64  # utterances that are read ahead
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
        self.readings = Readings()
        some = range(0, len(corpus), len(corpus) // _FITTED + 1)
        model.features.fit(pad([samples]) for samples in self._audio_of(some))
        self.augment = build_augment(config, model)
        self.recordings = build_recordings(config, corpus)
        self.resident = resident(corpus, model.device)
        self.validation_parts = parts_of(
            config.data.validation, data.validation.utterances, text_field=config.data.text_field
        )
        self.hypotheses: list[str] = []  # texts of the validation data, from the last evaluation
        self._keyed = plan_epochs(config, data) if is_keyed(config) else None

    def _audio_of(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the audio of utterances that can be read. Raises TrainingError if there is none."""
        corpus = self.data.training
        for first in range(0, len(indices), _AHEAD):
            few = indices[first : first + _AHEAD]
            corpus.expect(few)
            for index in few:
                try:
                    yield corpus.audio(index)
                    self.readings.read += 1
                except AudioError as error:
                    self.readings.leave_out(str(error))
        if not self.readings.read:
            raise TrainingError("no recording of the training data can be read; the log names the first ones")

    def plans(self, epochs: int | None = None) -> Sequence[list[list[Joined]]]:
        if isinstance(self._keyed, Epochs):  # it keeps the plan of an epoch
            return self._keyed.of(epochs or self.config.training.epochs)
        return plan_epochs(self.config, self.data, epochs)

    def expect(self, batches: Sequence[list[Joined]]) -> None:
        corpus, process = self.data.training, processes()
        if corpus.is_streamed:
            mine = [self.split(batch, process.process_index, process.num_processes) for batch in batches]
            corpus.expect([index for share in mine for joined in share for index in joined.parts])

    def planned_epochs(self, row: Row) -> int:
        """Return the number of epochs that the run planned after the epoch of `row`; logs of old versions lack it."""
        return int(row.get("epochs", self.config.training.epochs))

    def padded_samples(self, batch: list[Joined]) -> int:
        """Return the number of samples of a batch with padding and the longest possible pauses."""
        return len(batch) * max(map(self.recordings.most_samples, batch))

    def heaviest(self, batches: Sequence[list[Joined]]) -> list[Joined]:
        """Return the batch with the most audio, which needs most memory."""
        return max(batches, key=self.padded_samples)

    def load_audio(self, batch: list[Joined]) -> tuple[list[Joined], Tensor, Tensor]:
        """Load the recordings of a batch that can be read, on the device of the model.

        Returns these recordings, audio `(B, N)`, and lengths `(B,)` in samples. If none can be read, the audio is a
        second of silence.
        """
        if self.resident is not None and not any(joined.in_context for joined in batch):
            return batch, *self.resident.batch([joined.parts[0] for joined in batch])
        found: list[Joined] = []
        waveforms: list[np.ndarray] = []
        for joined in batch:
            try:
                samples = self.recordings.read(joined)
                if self.data.training.is_streamed:
                    self.require_fit(joined, len(samples))
                found.append(joined)
                waveforms.append(samples)
                self.readings.read += 1
            except AudioError as error:
                self.readings.leave_out(str(error))
        audio, lengths = pad(waveforms or [np.zeros(self.data.training.sample_rate, np.float32)])
        return found, audio.to(self.model.device), lengths.to(self.model.device)

    def require_fit(self, joined: Joined, num_samples: int) -> None:
        """Raise AudioError if a recording of so many samples is too short for its text."""

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

    def state(self) -> dict[str, Any]:
        return {"readings": asdict(self.readings)} if self.data.training.is_streamed else {}

    def load_state(self, state: dict[str, Any]) -> None:
        self.readings = Readings(**state.get("readings", {}))

    def check(self, log: Sequence[Row], step: int) -> None:
        watch.stop_if_audio_ignored(log, epochs=self.planned_epochs(log[-1]), step=step)

    def warning(self, row: Row) -> str:
        return watch.audio_warning(row, epochs=self.planned_epochs(row))

    def verdict(self, log: Sequence[Row], kept: Row) -> list[str]:
        return [verdict(log, kept)]

    def save(self, path: Path, row: Row) -> None:
        if self.hypotheses:
            pairs = zip(self.data.validation.utterances, self.hypotheses, strict=True)
            write_manifest(path.with_name(HYPOTHESES_FILE), [with_hypothesis(one, text) for one, text in pairs])
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
        """Return a digest of configuration (default: that of the task), first weights, audio, texts and noise."""
        digest = hashlib.sha256((config or self.config).fingerprint().encode())
        if self.config.training.start_from is not None:
            digest.update(Path(self.config.training.start_from).read_bytes())
        for corpus in (self.data.training, self.data.validation):
            digest.update(corpus.state())
        if self.config.augment.join:
            digest.update(self.recordings.state())
        if self.augment.surroundings is not None:
            digest.update(self.augment.surroundings.state())
        return digest.hexdigest()


def few_sizes(size: int) -> int:
    """Round a size up to one of few sizes: 16 up to each doubling, 2 % more on average.

    oneDNN and cuDNN make a plan for each new size. oneDNN keeps 1,024 plans. With all sizes, these plans take gigabytes
    and seldom match the next batch.
    """
    step = max(1, 2 ** (size.bit_length() - 5))
    return -(-size // step) * step
