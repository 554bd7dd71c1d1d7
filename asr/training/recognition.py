"""Training a recogniser on utterances and their texts: with CTC, an attention decoder, or both."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from torch import Tensor, nn

from asr.batching import pad
from asr.config import Config
from asr.corpus.manifest import write_manifest
from asr.model import Recognizer, load
from asr.nn.attention import EncoderDecoder
from asr.nn.ctc import ctc_loss, required_frames
from asr.report.attention import attention_picture
from asr.report.figures import training_picture
from asr.training import watch
from asr.training.build import build_augment, describe, plan_epochs, start_from, summary
from asr.training.data import TrainingData, open_data
from asr.training.evaluate import evaluate
from asr.training.hardware import denormals_flushed
from asr.training.history import Row
from asr.training.loop import MODEL_FILE, fit
from asr.training.task import Task
from asr.training.watch import say

PICTURE_FILE, ATTENTION_FILE, CONFIG_FILE = "training.png", "attention.png", "config.yaml"
_SAMPLES = 3  # validation utterances shown after each epoch


@denormals_flushed()
def train(config: Config, out: str | Path, *, strict: bool = False) -> Recognizer:
    """Trains a recogniser; leaves `model.safetensors`, `config.yaml`, `log.jsonl` and `training.png` in `out`.

    The model of the epoch with the lowest validation CER (of equals, the last, which has annealed longest) is kept,
    in the file and in what is returned. The same configuration, seed and machine give the same model, byte for
    byte, also when the run was interrupted in any way and the call repeated: it goes on from the last checkpoint
    in `out`. Raises ManifestError, TextError, ConfigError or TrainingError where the data cannot be trained on.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    processes = PartialState()
    set_seed(config.training.seed)
    with processes.main_process_first():  # the others find the data checked and packed
        data = open_data(config, say, strict=strict)
    task = RecognitionTask(config, data, processes.device)
    say(describe(task.recognizer, data, processes.device))
    say(f"a model that does not listen would reach a loss of {task.not_listening:.3f} nats per unit")
    if processes.is_main_process:
        (out / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")
    log = fit(task, config.training, out)
    recognizer = load(out / MODEL_FILE, processes.device)
    if processes.is_main_process:
        training_picture(out / PICTURE_FILE, log, recognizer, data.validation)
        say(f"learning curve, and what the model hears: {out / PICTURE_FILE}")
        if isinstance(recognizer.acoustic_model, EncoderDecoder):
            attention_picture(out / ATTENTION_FILE, recognizer, data.validation)
            say(f"where it listens for each unit: {out / ATTENTION_FILE}")
    return recognizer


class RecognitionTask(Task[list[int]]):
    """A batch is a list of utterances, by their indices in the training data."""

    criterion = "cer"

    def __init__(self, config: Config, data: TrainingData, device: torch.device) -> None:
        """Draws the first weights, or takes those of `training.start_from`, and fits the statistics of features."""
        corpus = data.training
        self.config = config
        self.data = data
        self.recognizer = Recognizer(config, data.units).to(device)
        self.module = self.recognizer.acoustic_model
        if config.training.start_from is not None:
            say(start_from(self.recognizer, config.training.start_from))
        some = range(0, len(corpus), len(corpus) // 1000 + 1)
        self.recognizer.features.fit(pad([corpus.audio(index)]) for index in some)
        self.targets = [data.units.encode(utterance.text or "") for utterance in corpus.utterances]
        self.augment = build_augment(config, self.recognizer)
        frames = [self.recognizer.num_output_frames(int(samples)) for samples in corpus.num_samples]
        by_ctc, by_attention = config.model.loss_weights
        self.not_listening = 0.0
        if by_ctc:
            self.not_listening += by_ctc * watch.no_listening_loss(frames, self.targets, len(data.units))
        if by_attention:
            training, validation = (
                [utterance.text or "" for utterance in part.utterances] for part in (corpus, data.validation)
            )
            self.not_listening += by_attention * watch.reading_loss(training, validation, data.units)

    def plans(self) -> list[list[list[int]]]:
        return plan_epochs(self.config, self.data)

    def num_targets(self, batch: list[int]) -> int:
        return sum(len(self.targets[index]) for index in batch)

    def heaviest(self, batches: Sequence[list[int]]) -> list[int]:
        """The most audio, padding included."""
        return max(batches, key=lambda batch: len(batch) * self.data.training.num_samples[batch].max())

    def load(self, batch: list[int]) -> tuple[Tensor, Tensor, list[list[int]]]:
        """Audio `(B, N)`, lengths `(B,)` in samples, targets."""
        audio, lengths = pad(self.data.training.audio(index) for index in batch)
        device = self.recognizer.device
        return audio.to(device), lengths.to(device), [self.targets[index] for index in batch]

    def loss(self, model: nn.Module, data: tuple[Tensor, Tensor, list[list[int]]]) -> Tensor:
        audio, lengths, targets = data
        with torch.autocast(audio.device.type, enabled=False):  # spectrograms need more digits than bf16 has
            shortest = torch.tensor([required_frames(target) for target in targets], device=audio.device)
            features, frames = self.recognizer.features(self.augment.audio(audio, lengths), lengths)
            features, frames = self.augment.features(features, frames, shortest * self.config.model.subsampling)
        if isinstance(self.module, EncoderDecoder):
            nats: Tensor = model(features, frames, targets)
            return nats.sum()
        log_probs, frames = model(features, frames)
        return ctc_loss(log_probs, frames, targets).sum()

    def evaluate(self) -> Row:
        result = evaluate(self.recognizer, self.data.validation)
        pairs = zip(self.data.validation.utterances, result.hypotheses, strict=True)
        return {
            "validation_loss": result.loss,
            "no_listening_loss": self.not_listening,
            "cer": result.score.cer.percent,
            "wer": result.score.wer.percent,
            "blank_share": result.blank_share,
            "samples": [[utterance.text, heard] for utterance, heard in pairs][:_SAMPLES],
        }

    def line(self, row: Row) -> str:
        blank = "" if row["blank_share"] is None else f"blank {row['blank_share']:3.0%}  "
        return (
            f"validation loss {row['validation_loss']:.3f}  CER {row['cer']:6.2f}  WER {row['wer']:6.2f}  "
            f"{blank}{watch.listening_line(row, epochs=self.config.training.epochs)}"
        )

    def check(self, log: Sequence[Row], step: int) -> None:
        watch.stop_if_deaf(log, epochs=self.config.training.epochs, step=step)

    def save(self, path: Path, row: Row) -> None:
        self.recognizer.summary = summary(self.recognizer, self.data, row)
        self.recognizer.save(path)

    def draw(self, out: Path, log: Sequence[Row]) -> None:
        training_picture(out / PICTURE_FILE, log, self.recognizer, self.data.validation)

    def leave_out(self, batch: list[int], path: Path) -> str:
        utterances = [self.data.training.utterances[index] for index in batch]
        write_manifest(path.with_suffix(".jsonl"), utterances)
        return ", ".join(utterance.id for utterance in utterances[:5]) + f", … ({path.with_suffix('.jsonl')})"

    def fingerprint(self) -> str:
        """A digest of configuration, first weights, audio and texts."""
        digest = hashlib.sha256(self.config.to_yaml().encode())
        if self.config.training.start_from is not None:
            digest.update(Path(self.config.training.start_from).read_bytes())
        for corpus in (self.data.training, self.data.validation):
            digest.update(corpus.num_samples.tobytes())
            digest.update(repr([(utterance.id, utterance.text) for utterance in corpus.utterances]).encode())
        return digest.hexdigest()
