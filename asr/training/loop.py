"""The training loop, in the order things happen."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

import asr
from asr.batching import pad, plan_batches
from asr.config import Config
from asr.errors import ConfigError, TrainingError
from asr.model import Recognizer, load
from asr.nn.ctc import ctc_loss, required_frames
from asr.progress import ProgressBar
from asr.report.figures import training_picture
from asr.training.augment import Augment
from asr.training.data import TrainingData, open_data
from asr.training.evaluate import evaluate
from asr.training.schedule import warmup_cosine

BEST_FILE = "best.safetensors"  # the best so far, until training is done: an interrupted run leaves no MODEL_FILE
MODEL_FILE, LOG_FILE, PICTURE_FILE, CONFIG_FILE = (
    "model.safetensors",
    "log.jsonl",
    "training.png",
    "config.yaml",
)


def train(config: Config, out: str | Path, *, strict: bool = False) -> Recognizer:
    """Trains a recogniser; leaves `model.safetensors`, `config.yaml`, `log.jsonl` and `training.png` in `out`.

    The model of the epoch with the lowest validation CER (of equals, the last, which has annealed longest) is kept,
    in the file and in what is returned. The same configuration, seed and machine give the same model, byte for
    byte. Raises ManifestError, TextError, ConfigError or TrainingError where the data cannot be trained on.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    options = config.training
    accelerator = Accelerator()
    device = accelerator.device
    bf16 = use_bf16(options.precision, device)
    set_seed(options.seed)
    torch.set_flush_denormal(True)

    data = open_data(config, say, strict=strict)
    corpus = data.training
    recognizer = Recognizer(config, data.units).to(device)
    recognizer.features.fit(pad([corpus.audio(index)]) for index in range(0, len(corpus), len(corpus) // 1000 + 1))
    targets = [data.units.encode(utterance.text or "") for utterance in corpus.utterances]
    augment = build_augment(config, recognizer)
    say(_description(recognizer, data, device, bf16))
    (out / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")

    plans = _plan_epochs(config, data)
    total = sum(map(len, plans))
    optimizer = torch.optim.AdamW(
        recognizer.acoustic_model.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, total=total, warmup=options.warmup)
    )
    model, optimizer = accelerator.prepare(recognizer.acoustic_model, optimizer)

    best, best_epoch, improved_epoch = float("inf"), 0, 0
    log: list[dict[str, Any]] = []
    started = time.monotonic()
    with ProgressBar("training", total) as bar:
        for epoch, plan in enumerate(plans, start=1):
            model.train()
            nats, num_units = 0.0, 0
            for batch in plan:
                audio, lengths = pad(corpus.audio(index) for index in batch)
                audio, lengths = audio.to(device), lengths.to(device)
                batch_targets = [targets[index] for index in batch]
                shortest = torch.tensor([required_frames(target) for target in batch_targets], device=device)
                features, frames = recognizer.features(augment.audio(audio, lengths), lengths)
                features, frames = augment.features(features, frames, shortest * config.model.subsampling)
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    log_probs, frames = model(features, frames)
                loss = ctc_loss(log_probs, frames, batch_targets).sum()  # nats
                if not torch.isfinite(loss):
                    names = ", ".join(corpus.utterances[index].id for index in batch[:5])
                    raise TrainingError(f"the loss is not finite in epoch {epoch}, in the batch of {names}, …")
                batch_units = sum(map(len, batch_targets))
                accelerator.backward(loss / batch_units)
                accelerator.clip_grad_norm_(model.parameters(), options.gradient_clip)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                nats, num_units = nats + loss.item(), num_units + batch_units
                bar.advance(note=f"epoch {epoch} loss {nats / num_units:.3f}")

            result = evaluate(recognizer, data.validation)
            log.append(
                {
                    "epoch": epoch,
                    "seconds": round(time.monotonic() - started, 1),
                    "train_loss": nats / num_units,
                    "validation_loss": result.loss,
                    "cer": result.score.cer.percent,
                    "wer": result.score.wer.percent,
                }
            )
            (out / LOG_FILE).write_text("".join(json.dumps(row) + "\n" for row in log))
            if result.score.cer.percent <= best:
                improved_epoch = epoch if result.score.cer.percent < best else improved_epoch
                best, best_epoch = result.score.cer.percent, epoch
                recognizer.summary = _summary(recognizer, data, epoch, result.score)
                recognizer.save(out / BEST_FILE)
            bar.print(_epoch_line(log[-1], options.epochs, best_epoch == epoch))
            if epoch - improved_epoch >= options.patience:
                bar.print(f"no better validation CER for {options.patience} epochs: stopping early")
                break

    (out / BEST_FILE).replace(out / MODEL_FILE)
    recognizer = load(out / MODEL_FILE, device)
    say(
        f"kept epoch {best_epoch}, the best on validation (CER {best:.2f} %), after "
        f"{time.monotonic() - started:.0f} s of training: {out / MODEL_FILE}"
    )
    training_picture(out / PICTURE_FILE, log, recognizer, data.validation)
    say(f"learning curve, and what the model hears: {out / PICTURE_FILE}")
    return recognizer


def say(line: str) -> None:
    """A line for the person watching; results go to stdout, everything else here."""
    print(line, file=sys.stderr, flush=True)


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; with `auto`, only where the hardware multiplies matrices in it.

    A CPU without such units emulates it, several times slower than float32.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def build_augment(config: Config, recognizer: Recognizer) -> Augment:
    """The augmentations that a configuration describes. Raises ConfigError for those its features cannot have."""
    frequencies = recognizer.features.bin_frequencies
    if config.augment.frequency_warp and frequencies is None:
        raise ConfigError(f"augment.frequency_warp: {config.features.kind} has no frequency axis to warp; set it to 0")
    features = recognizer.features
    return Augment(
        hop_seconds=features.hop / features.sample_rate,
        bin_frequencies=frequencies,
        **config.augment.model_dump(),
    )


def _plan_epochs(config: Config, data: TrainingData) -> list[list[list[int]]]:
    """The batches of every epoch, drawn before the first, so that the schedule knows the number of steps."""
    generator = np.random.default_rng(config.training.seed)
    return [
        plan_batches(
            data.training.num_samples,
            max_samples=round(config.training.batch_seconds * data.training.sample_rate),
            max_utterances=config.training.batch_utterances,
            generator=generator,
        )
        for _ in range(config.training.epochs)
    ]


def _description(recognizer: Recognizer, data: TrainingData, device: torch.device, bf16: bool) -> str:
    parameters = sum(parameter.numel() for parameter in recognizer.acoustic_model.parameters())
    model = recognizer.config.model
    return (
        f"training on {len(data.training)} utterances ({data.training.seconds / 3600:.2f} h), validating on "
        f"{len(data.validation)} ({data.validation.seconds / 3600:.2f} h); {len(data.units)} units with blank\n"
        f"{model.layers} x {model.hidden} {'bidirectional ' if model.bidirectional else ''}{model.cell}, "
        f"{parameters / 1e6:.2f} M parameters, {'bf16' if bf16 else 'fp32'} on {device}"
    )


def _epoch_line(row: dict[str, Any], epochs: int, best: bool) -> str:
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['seconds']:6.0f} s  loss {row['train_loss']:.3f}  "
        f"validation loss {row['validation_loss']:.3f}  CER {row['cer']:6.2f}  WER {row['wer']:6.2f}"
        + ("  best so far" if best else "")
    )


def _summary(recognizer: Recognizer, data: TrainingData, epoch: int, result: Any) -> dict[str, Any]:
    """What `asr info` tells of the training: nothing that differs between two equal runs."""
    return {
        "training_hours": round(data.training.seconds / 3600, 4),
        "training_utterances": len(data.training),
        "validation_utterances": len(data.validation),
        "epoch": epoch,
        "validation_cer": round(result.cer.percent, 4),
        "validation_wer": round(result.wer.percent, 4),
        "seed": recognizer.config.training.seed,
        "git_commit": _git_commit(),
        "versions": {"asr": asr.__version__, "torch": torch.__version__, "python": sys.version.split()[0]},
    }


def _git_commit() -> str | None:
    """The commit of the asr package, where it runs from a git checkout."""
    if shutil.which("git") is None:
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    is_tracked = git("ls-files", Path(__file__).name)  # not installed inside a checkout of something else
    return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or None if is_tracked else None
