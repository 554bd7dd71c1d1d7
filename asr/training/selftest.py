"""The self-test of training data: do texts fit their recordings, and can a model memorise a few utterances?"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from asr.audio import load_audio
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AudioError, TrainingError
from asr.text import Normalizer
from asr.training.train import train
from asr.utterance import Utterance

MAX_CER = 5.0  # percent, of memorised utterances
MIN_CORRELATION = 0.3  # between durations and text lengths; it is about 0 for shuffled transcripts
_MEMORISED = 8  # utterances
_REPEATS = 10  # repetitions of each utterance in an epoch
_MEASURED = 400  # utterances whose durations and text lengths are compared
_RATE = 16000  # Hz


def selftest(manifest: str | Path, say: Callable[[str], None]) -> None:
    """Test a training manifest: compare durations with text lengths, and train a model to memorise eight utterances.

    Reports the results. Raises TrainingError for the first test that fails, with likely causes.
    """
    normalizer = Normalizer()
    utterances = read_manifest(manifest, require_text=True)
    measured = _measure(utterances[:: max(1, len(utterances) // _MEASURED)], normalizer)
    if len(measured) < 2:
        raise TrainingError(
            f"{manifest}: {len(measured)} recordings can be read, at least 2 are needed; `asr check` names the faults"
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
    cer = _memorise(sorted((u for u, _ in measured), key=lambda u: len(u.text or "")))
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


def _memorise(by_length: Sequence[Utterance]) -> float:
    """Train a small model on a few utterances of median length; return its lowest CER on them, in percent."""
    middle = max(0, len(by_length) // 2 - _MEMORISED // 2)
    chosen = by_length[middle : middle + _MEMORISED]
    with tempfile.TemporaryDirectory() as folder:
        name = Path(folder)
        write_manifest(name / "validation.jsonl", chosen)
        repeated = [replace(u, id=f"{u.id} {number}") for number in range(_REPEATS) for u in chosen]
        write_manifest(name / "train.jsonl", repeated)
        config = Config.model_validate(
            {
                "data": {"train": str(name / "train.jsonl"), "validation": str(name / "validation.jsonl")},
                "features": {"sample_rate": _RATE, "bins": 40},
                "model": {"hidden": 96, "layers": 2, "channels": 16, "subsampling": 2, "dropout": 0},
                "training": {"epochs": 35, "batch_utterances": _MEMORISED // 2, "learning_rate": 5e-3, "patience": 5},
            }
        )
        return float(train(config, name / "run").summary["validation_cer"])
