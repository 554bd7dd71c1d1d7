"""The task of training a recogniser on utterances and their texts, with CTC, an attention decoder or a transducer."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from asr.batching import Joined
from asr.config import Config
from asr.corpus.expectation import comparison
from asr.errors import AudioError
from asr.figures.attention import attention_picture
from asr.figures.training import training_picture
from asr.lengths import required_frames
from asr.nn.attention import EncoderDecoder
from asr.nn.autoregressive import AutoregressiveModel
from asr.nn.ctc import ctc_loss, disagreement, divergence
from asr.nn.transducer import TransducerModel
from asr.recognition.recognizer import Recognizer
from asr.run_log import Row
from asr.training import watch
from asr.training.build import is_keyed
from asr.training.data import TrainingData, some_texts
from asr.training.evaluate import evaluate
from asr.training.lengths import measure_lengths
from asr.training.speech import SAMPLES, SpeechTask
from asr.training.teachers import Teachers
from asr.training.weights import TextWeights

ATTENTION_FILE = "attention.png"
_ENCODED = 10_000  # texts whose units are kept
_MEASURED = 1000  # batches of a keyed epoch, about, that lengths are measured on


class Loaded(NamedTuple):
    """The data of a batch: audio `(B, N)`, lengths `(B,)` in samples, units and the weight `(B,)` of each text."""

    audio: Tensor
    lengths: Tensor
    targets: list[list[int]]
    weights: Tensor


class RecognitionTask(SpeechTask[Recognizer, TrainingData]):
    """Training of a recogniser; the targets are the units of the texts."""

    target = "unit"
    criterion = "cer"
    errors = ("cer", "wer")

    def __init__(self, config: Config, data: TrainingData, device: torch.device) -> None:
        """Create a model with fresh weights, or with the weights of `training.start_from`."""
        super().__init__(config, data, Recognizer(config, data.units).to(device))
        if isinstance(self.module, TransducerModel):
            self.model.joint_network()  # raises ConfigError for a cell that cannot be decoded, before the first epoch
        corpus = data.training
        self.encoded = lru_cache(_ENCODED)(self._encode)
        self.teachers = Teachers(config.training.teachers, self.model) if config.training.teachers else None
        self.weights = TextWeights(config.data.weight_field, corpus.utterances)
        self.space = data.units.encode(" ") if " " in data.units.symbols else []
        (plan,) = self.plans(1)
        some = plan if not is_keyed(config) else plan[:: 1 + len(plan) // _MEASURED]
        self.model.trained_lengths = measure_lengths(self.recordings, some)
        by_ctc, by_decoder = config.model.loss_weights
        self.baseline_loss = 0.0
        if by_ctc:
            few = watch.baseline_sample(len(corpus))
            frames = [self.model.num_output_frames(int(corpus.num_samples[index])) for index in few]
            targets = list(map(self._encode, few))
            self.baseline_loss += by_ctc * watch.ctc_baseline_loss(frames, targets, len(data.units))
        if by_decoder:
            texts = some_texts(corpus), [utterance.text or "" for utterance in data.validation.utterances]
            self.baseline_loss += by_decoder * watch.language_baseline_loss(*texts, data.units)

    def _encode(self, index: int) -> list[int]:
        return self.data.units.encode(self.data.training.utterances[index].text or "")

    def spell(self, joined: Joined) -> list[int]:
        """Return the units of joined utterances, with a space between them if the units include a space."""
        units: list[int] = []
        for index in joined.parts:
            text = self.encoded(index)
            units += (self.space if units and text else []) + text
        return units

    def num_targets(self, batch: list[Joined]) -> int:
        """Return the number of units of a batch. An empty text counts as one, so that its loss has a weight."""
        return sum(max(1, len(self.spell(joined))) for joined in batch)

    def load(self, batch: list[Joined]) -> Loaded:
        found, audio, lengths = self.load_audio(batch)
        targets = [self.spell(joined) for joined in found]
        weights = [self.weights.of(joined.parts, lambda index: len(self.encoded(index))) for joined in found]
        return Loaded(audio, lengths, targets, torch.tensor(weights, device=audio.device))

    def require_fit(self, joined: Joined, num_samples: int) -> None:
        needed, frames = required_frames(self.spell(joined)), self.model.num_output_frames(num_samples)
        if frames < needed and self.config.model.loss_weights[0]:
            utterance = self.data.training.utterances[joined.parts[0]]
            raise AudioError(
                f"{utterance.audio}: {utterance.id} is shorter than its manifest states: its text needs {needed} "
                f"encoder frames, its audio gives {frames}; correct the duration"
            )

    def loss(self, model: nn.Module, data: Loaded) -> Tensor:
        audio, lengths, targets, weights = data
        if not targets:  # no recording of the batch can be read: silence, without weight
            return 0 * self.loss(model, Loaded(audio, lengths, [[]], torch.ones(1, device=audio.device)))
        shortest = torch.tensor([required_frames(target) for target in targets], device=audio.device)
        views = 2 if self.config.training.consistency else 1
        features, read = self.features(audio, lengths, shortest, views=views)
        if isinstance(self.module, AutoregressiveModel):
            nats: Tensor = model(features, read, targets)
            return (nats * weights).sum()
        log_probs, frames = model(features, read)
        loss = (ctc_loss(log_probs, frames, targets * views) * weights.repeat(views)).sum()
        if self.teachers is not None:
            given = self.teachers.log_probs(audio, lengths, read[: len(audio)])
            given = functional.pad(given, (0, 0, 0, log_probs.shape[1] - given.shape[1])).repeat(views, 1, 1)
            share = self.config.training.teacher_weight
            loss = (1 - share) * loss + share * divergence(given, log_probs.float(), frames).sum()
        if views > 1:
            loss = (loss + self.config.training.consistency * disagreement(log_probs, frames).sum()) / views
        return loss

    def fingerprint(self, config: Config | None = None) -> str:
        digest = super().fingerprint(config)
        if self.teachers is None:
            return digest
        return hashlib.sha256(digest.encode() + self.teachers.state()).hexdigest()

    def evaluate(self) -> Row:
        result = evaluate(self.model, self.data.validation)
        self.hypotheses = result.hypotheses
        references = [utterance.text or "" for utterance in self.data.validation.utterances]
        by_corpus = result.of_parts(self.validation_parts, references)
        return {
            "validation_loss": result.loss,
            "no_listening_loss": self.baseline_loss,
            "cer": result.score.cer.percent,
            "wer": result.score.wer.percent,
            "blank_share": result.blank_share,
            **({"validation": by_corpus} if by_corpus else {}),
            "samples": [list(pair) for pair in zip(references, result.hypotheses, strict=True)][:SAMPLES],
        }

    def check(self, log: Sequence[Row], step: int) -> None:
        """Raise TrainingError if a model with CTC ignores the audio.

        The baseline of another decoder alone is an n-gram model of its texts, which takes long to beat.
        """
        if self.config.model.loss_weights[0]:
            super().check(log, step)

    def verdict(self, log: Sequence[Row], kept: Row) -> list[str]:
        training = self.data.training
        return [*super().verdict(log, kept), comparison(training.seconds / 3600, some_texts(training))]

    def line(self, row: Row) -> str:
        loss = watch.format_loss(row["validation_loss"])
        return f"validation loss {loss}  CER {row['cer']:.2f}  WER {row['wer']:.2f}"

    def picture(self, path: Path, log: Sequence[Row]) -> None:
        training_picture(path, log, self.model, self.data.validation)
        if isinstance(self.module, EncoderDecoder):
            attention_picture(path.with_name(ATTENTION_FILE), self.model, self.data.validation)
