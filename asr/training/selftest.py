"""The self-test of training data: do texts fit their recordings, and can a model memorise a few utterances?"""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from scipy.stats import spearmanr

from asr.audio import load_audio
from asr.config import Config
from asr.corpus.cache import beside_manifests
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AudioError, TrainingError
from asr.progress import ProgressBar
from asr.text import Normalizer
from asr.training.data import open_data
from asr.training.hardware import processes, steady_numbers
from asr.training.recognition import RecognitionTask
from asr.utterance import Utterance

MAX_CER = 5.0  # percent, of memorised utterances
MIN_CORRELATION = 0.3  # between durations and text lengths; it is about 0 for shuffled transcripts
MIN_UTTERANCES = 10  # with fewer, durations and text lengths of right transcripts may disagree by chance
_MEMORISED = 8  # utterances
_EPOCHS = 35  # most epochs
_SECONDS = 45.0  # after which memorising stops
_LEARNING_RATE = 5e-3
_REPEATS = 10  # repetitions of each utterance in an epoch
_MEASURED = 400  # utterances whose durations and text lengths are compared
_RATE = 16000  # Hz


def selftest(manifest: str | Path, say: Callable[[str], None]) -> None:
    """Test a training manifest: compare durations with text lengths, and train a model to memorise eight utterances.

    Reports the results, within about a minute. Raises TrainingError for fewer than MIN_UTTERANCES utterances, and for
    the first test that fails, with likely causes.
    """
    normalizer = Normalizer()
    utterances = read_manifest(manifest, require_text=True)
    tried = utterances[:: max(1, len(utterances) // _MEASURED)]
    measured = _measure(tried, normalizer)
    if faulty := len(tried) - len(measured):
        say(f"{faulty} of {len(tried)} recordings cannot be read; `asr check` names them")
    if len(measured) < MIN_UTTERANCES:
        raise TrainingError(
            f"{manifest}: the self-test needs at least {MIN_UTTERANCES} utterances with readable recordings, and has "
            f"{len(measured)}; add utterances, or run `asr check`"
        )
    durations, lengths = [seconds for _, seconds in measured], [len(u.text or "") for u, _ in measured]
    if np.ptp(durations) == 0 or np.ptp(lengths) == 0:
        correlation = float("nan")
        say("all durations or all text lengths are equal: they do not show whether texts belong to their recordings")
    else:
        correlation = float(spearmanr(durations, lengths).statistic)
    if correlation < MIN_CORRELATION:
        raise TrainingError(
            f"{manifest}: longer recordings do not have longer texts (rank correlation {correlation:.2f} over "
            f"{len(measured)} utterances; at least {MIN_CORRELATION} is expected). The transcripts do not seem to "
            "belong to their recordings; listen to a few"
        )
    if correlation >= MIN_CORRELATION:
        say(f"longer recordings have longer texts: rank correlation {correlation:.2f} over {len(measured)} utterances")
    cer, was_slow = _memorise(sorted((u for u, _ in measured), key=lambda u: len(u.text or "")))
    if cer >= MAX_CER and was_slow:
        raise TrainingError(
            f"{manifest}: no result: in {_SECONDS:g} s a model came to a CER of {cer:.1f} % on {_MEMORISED} utterances "
            f"(below {MAX_CER:g} % is expected). If other programs keep the processor busy, repeat the command later; "
            "else the utterances may be very long"
        )
    if cer >= MAX_CER:
        raise TrainingError(
            f"{manifest}: a model could not memorise {_MEMORISED} utterances (CER {cer:.1f} %; below {MAX_CER:g} % is "
            "expected). Their texts may be too long for the recordings, or the recordings may have no speech; run "
            "`asr check`"
        )
    say(f"a model memorised {_MEMORISED} utterances (CER {cer:.1f} %): the program can learn from this data")


def _measure(utterances: Sequence[Utterance], normalizer: Normalizer) -> list[tuple[Utterance, float]]:
    """Return the readable utterances with normalised texts, and their durations in seconds."""
    measured = []
    for utterance in utterances:
        try:
            samples = load_audio(utterance.audio, _RATE, offset=utterance.offset, duration=utterance.duration)
        except AudioError:
            continue
        measured.append((replace(utterance, text=normalizer(utterance.text or "")), len(samples) / _RATE))
    return measured


@steady_numbers()
def _memorise(by_length: Sequence[Utterance]) -> tuple[float, bool]:
    """Train a small model on a few rather short utterances, until it has learned them or the time is over.

    Returns its lowest CER on them in percent, and whether the time was over.
    """
    start = min(len(by_length) // 4, len(by_length) - _MEMORISED)
    chosen = by_length[start : start + _MEMORISED]
    with tempfile.TemporaryDirectory() as folder, beside_manifests():
        name = Path(folder)
        write_manifest(name / "validation.jsonl", chosen)
        repeated = [replace(u, id=f"{u.id} {number}") for number in range(_REPEATS) for u in chosen]
        write_manifest(name / "train.jsonl", repeated)
        config = Config.model_validate(
            {
                "data": {"train": str(name / "train.jsonl"), "validation": str(name / "validation.jsonl")},
                "features": {"sample_rate": _RATE, "bins": 40},
                "model": {"hidden": 96, "layers": 2, "channels": 16, "subsampling": 2, "dropout": 0},
                "training": {"epochs": _EPOCHS, "batch_utterances": _MEMORISED // 2},
            }
        )
        set_seed(config.training.seed)
        task = RecognitionTask(config, open_data(config, lambda line: None), processes().device)
        plans = task.plans()
        optimizer = torch.optim.AdamW(task.module.parameters(), _LEARNING_RATE)
        started, lowest = time.monotonic(), math.inf
        with ProgressBar("memorising", sum(map(len, plans))) as bar:
            for plan in plans:
                task.module.train()
                for batch in plan:
                    optimizer.zero_grad()
                    (task.loss(task.module, task.load(batch)) / task.num_targets(batch)).backward()
                    torch.nn.utils.clip_grad_norm_(task.module.parameters(), 1.0)
                    optimizer.step()
                    bar.advance(note="" if math.isinf(lowest) else f"CER {lowest:.1f} %")
                    if time.monotonic() - started > _SECONDS:
                        break
                lowest = min(lowest, task.evaluate()["cer"])
                if lowest < MAX_CER or time.monotonic() - started > _SECONDS:
                    break
        return lowest, time.monotonic() - started > _SECONDS
