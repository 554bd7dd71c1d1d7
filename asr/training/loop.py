"""The training loop, in the order things happen."""

import hashlib
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from asr.batching import pad
from asr.config import Config
from asr.corpus.manifest import write_manifest
from asr.errors import TrainingError
from asr.model import Recognizer, load
from asr.nn.ctc import ctc_loss, required_frames
from asr.progress import ProgressBar
from asr.report.figures import training_picture
from asr.training import watch
from asr.training.build import build_augment, denormals_flushed, describe, plan_epochs, start_from, summary, use_bf16
from asr.training.checkpoint import Checkpoints, StopSignals
from asr.training.data import TrainingData, open_data
from asr.training.evaluate import evaluate
from asr.training.history import Row, epochs_without_gain, kept_row, write_log
from asr.training.schedule import warmup_cosine

BEST_FILE = "best.safetensors"  # the best so far, until training is done: an interrupted run leaves no MODEL_FILE
MODEL_FILE, LOG_FILE, PICTURE_FILE, CONFIG_FILE = (
    "model.safetensors",
    "log.jsonl",
    "training.png",
    "config.yaml",
)
MAX_SKIPPED = 10  # batches without a finite loss or gradient, before training gives up
_SAMPLES = 3  # validation utterances shown after each epoch


@dataclass
class Position:
    """Where a run stands: the next batch, the sums over the epoch so far, and the epochs behind it."""

    epoch: int = 1
    batch: int = 0
    step: int = 0
    nats: float = 0.0
    num_units: int = 0
    skipped: int = 0
    seconds: float = 0.0
    log: list[Row] = field(default_factory=list)


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
    options = config.training
    accelerator = Accelerator()
    device = accelerator.device
    bf16 = use_bf16(options.precision, device)
    set_seed(options.seed)

    data = open_data(config, say, strict=strict)
    corpus = data.training
    recognizer = Recognizer(config, data.units).to(device)
    if options.start_from is not None:
        say(start_from(recognizer, options.start_from))
    recognizer.features.fit(pad([corpus.audio(index)]) for index in range(0, len(corpus), len(corpus) // 1000 + 1))
    targets = [data.units.encode(utterance.text or "") for utterance in corpus.utterances]
    augment = build_augment(config, recognizer)
    say(describe(recognizer, data, device, bf16))
    frames_of = [recognizer.num_output_frames(int(samples)) for samples in corpus.num_samples]
    not_listening = watch.no_listening_loss(frames_of, targets, len(data.units))
    say(f"a model that does not listen would reach a loss of {not_listening:.3f} nats per unit")
    (out / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")

    plans = plan_epochs(config, data)
    total = sum(map(len, plans))
    optimizer = torch.optim.AdamW(
        recognizer.acoustic_model.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    model, optimizer = accelerator.prepare(recognizer.acoustic_model, optimizer)

    at = Position()
    parts = {"model": recognizer.acoustic_model, "optimizer": optimizer}
    checkpoints = Checkpoints(out, fingerprint=_fingerprint(config, data), minutes=options.checkpoint_minutes)
    if state := checkpoints.restore(device, say):
        for name, part in parts.items():
            part.load_state_dict(state[name])
        at = Position(**state["position"])
        say(f"going on from the checkpoint in {out}: epoch {at.epoch}, batch {at.batch + 1}")
    started = time.monotonic() - at.seconds

    def save_checkpoint() -> None:
        at.seconds = time.monotonic() - started
        state = {name: part.state_dict() for name, part in parts.items()}
        checkpoints.save(at.step, {**state, "position": asdict(at)})
        if stop.received:
            bar.print(f"{stop.received.name}: saved in {out}; the same command goes on from here")
            raise KeyboardInterrupt

    with ProgressBar("training", total, done=at.step) as bar, StopSignals() as stop:
        while at.epoch <= options.epochs and not (at.log and epochs_without_gain(at.log) >= options.patience):
            model.train()
            plan = plans[at.epoch - 1]
            for batch in plan[at.batch :]:
                audio, lengths = pad(corpus.audio(index) for index in batch)
                audio, lengths = audio.to(device), lengths.to(device)
                batch_targets = [targets[index] for index in batch]
                shortest = torch.tensor([required_frames(target) for target in batch_targets], device=device)
                features, frames = recognizer.features(augment.audio(audio, lengths), lengths)
                features, frames = augment.features(features, frames, shortest * config.model.subsampling)
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    log_probs, frames = model(features, frames)
                loss = ctc_loss(log_probs, frames, batch_targets).sum()  # nats
                batch_units = sum(map(len, batch_targets))
                optimizer.zero_grad()
                accelerator.backward(loss / batch_units)
                norm = accelerator.clip_grad_norm_(model.parameters(), options.gradient_clip)
                for group in optimizer.param_groups:
                    group["lr"] = options.learning_rate * warmup_cosine(at.step, total=total, warmup=options.warmup)
                if torch.isfinite(loss) and torch.isfinite(norm):
                    optimizer.step()
                    at.nats, at.num_units = at.nats + loss.item(), at.num_units + batch_units
                else:
                    at.skipped += 1
                    _leave_out(batch, corpus.utterances, at, out, bar)
                at.batch, at.step = at.batch + 1, at.step + 1
                bar.advance(note=f"epoch {at.epoch} loss {at.nats / max(at.num_units, 1):.3f}")
                if at.batch < len(plan) and (stop.received or checkpoints.due()):
                    save_checkpoint()

            result = evaluate(recognizer, data.validation)
            at.log.append(
                {
                    "epoch": at.epoch,
                    "step": at.step,
                    "seconds": round(time.monotonic() - started, 1),
                    "train_loss": at.nats / max(at.num_units, 1),
                    "validation_loss": result.loss,
                    "no_listening_loss": not_listening,
                    "cer": result.score.cer.percent,
                    "wer": result.score.wer.percent,
                    "blank_share": result.blank_share,
                    "gradient_norms": watch.gradient_norms(
                        recognizer.acoustic_model, scale=max(1.0, float(norm) / options.gradient_clip)
                    ),
                    "samples": [
                        (utterance.text, heard)
                        for utterance, heard in zip(data.validation.utterances, result.hypotheses, strict=True)
                    ][:_SAMPLES],
                }
            )
            is_best = kept_row(at.log) is at.log[-1]
            if is_best:
                recognizer.summary = summary(recognizer, data, at.epoch, result.score)
                recognizer.save(out / BEST_FILE)
            write_log(out / LOG_FILE, at.log)
            eta = (time.monotonic() - started) / at.step * (total - at.step)
            bar.print(watch.epoch_lines(at.log[-1], epochs=options.epochs, best=is_best, eta=eta))
            watch.stop_if_deaf(at.log, epochs=options.epochs, step=at.step)
            at.epoch, at.batch, at.nats, at.num_units = at.epoch + 1, 0, 0.0, 0
            save_checkpoint()

    (out / BEST_FILE).replace(out / MODEL_FILE)
    checkpoints.remove()
    best, last = kept_row(at.log), at.log[-1]
    recognizer = load(out / MODEL_FILE, device)
    if last["epoch"] < options.epochs:
        say(f"no better validation CER for {options.patience} epochs: stopped early, after epoch {last['epoch']}")
    say(
        f"kept epoch {best['epoch']}, the best on validation (CER {best['cer']:.2f} %), after "
        f"{time.monotonic() - started:.0f} s of training: {out / MODEL_FILE}"
    )
    training_picture(out / PICTURE_FILE, at.log, recognizer, data.validation)
    say(f"learning curve, and what the model hears: {out / PICTURE_FILE}")
    return recognizer


def say(line: str) -> None:
    """A line for the person watching; results go to stdout, everything else here."""
    print(line, file=sys.stderr, flush=True)


def _leave_out(batch: list[int], utterances: Any, at: Position, out: Path, bar: ProgressBar) -> None:
    """Names a batch whose loss or gradient is not finite, and saves it for study. Raises TrainingError after many."""
    path = out / f"not-finite-{at.step}.jsonl"
    write_manifest(path, [utterances[index] for index in batch])
    names = ", ".join(utterances[index].id for index in batch[:5])
    bar.print(f"the loss is not finite in epoch {at.epoch}, in the batch of {names}, …: left out, saved in {path}")
    if at.skipped > MAX_SKIPPED:
        raise TrainingError(
            f"{at.skipped} batches had no finite loss: stopped. Look at {path}, and lower training.learning_rate; "
            f"the best model so far is {out / BEST_FILE}, if an epoch was completed"
        )


def _fingerprint(config: Config, data: TrainingData) -> str:
    """What must be equal for a checkpoint to be this run's: configuration, first weights, audio, texts."""
    digest = hashlib.sha256(config.to_yaml().encode())
    if config.training.start_from is not None:
        digest.update(Path(config.training.start_from).read_bytes())
    for corpus in (data.training, data.validation):
        digest.update(corpus.num_samples.tobytes())
        digest.update(repr([(utterance.id, utterance.text) for utterance in corpus.utterances]).encode())
    return digest.hexdigest()
