"""Is it the data or the program: do texts fit their recordings, and can a few be learned by heart?"""

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

MAX_CER = 5.0  # percent, of utterances learned by heart
MIN_CORRELATION = 0.3  # between durations and text lengths; of shuffled transcripts it is about 0
_LEARNED = 8  # utterances
_REPEATS = 10  # of each in an epoch
_MEASURED = 400  # utterances whose durations and text lengths are compared
_RATE = 16000


def selftest(manifest: str | Path, say: Callable[[str], None]) -> None:
    """Two tests of a training manifest: durations against text lengths, and eight utterances learned by heart.

    What is found is said line by line. Raises TrainingError for the first test that fails, with what it points at.
    """
    normalizer = Normalizer()
    utterances = read_manifest(manifest, require_text=True)
    measured = _measure(utterances[:: max(1, len(utterances) // _MEASURED)], normalizer)
    if len(measured) < 2:
        raise TrainingError(f"{manifest}: hardly any recording can be read; `asr check` names the faults")
    durations, lengths = [seconds for _, seconds in measured], [len(u.text or "") for u, _ in measured]
    if np.ptp(durations) == 0 or np.ptp(lengths) == 0:
        correlation = float("nan")
        say("durations or text lengths are all alike: they cannot tell whether texts belong to their recordings")
    else:
        correlation = float(spearmanr(durations, lengths).statistic)
    if correlation < MIN_CORRELATION:
        raise TrainingError(
            f"{manifest}: longer recordings do not have longer texts (rank correlation {correlation:.2f} over "
            f"{len(measured)} utterances, at least {MIN_CORRELATION} expected): the transcripts do not seem to "
            "belong to their recordings; listen to a few"
        )
    if correlation >= MIN_CORRELATION:
        say(f"longer recordings have longer texts: rank correlation {correlation:.2f} over {len(measured)} utterances")
    cer = _learn_by_heart(sorted((u for u, _ in measured), key=lambda u: len(u.text or "")), say)
    if cer >= MAX_CER:
        raise TrainingError(
            f"{manifest}: {_LEARNED} utterances could not be learned by heart (CER {cer:.1f} %, below {MAX_CER:g} % "
            "expected): are they too long for their recordings, or is there no speech in them? `asr check` tells more"
        )
    say(f"{_LEARNED} utterances learned by heart: CER {cer:.1f} %. Data and program can learn.")


def _measure(utterances: Sequence[Utterance], normalizer: Normalizer) -> list[tuple[Utterance, float]]:
    """Readable utterances with normalised texts, and their seconds."""
    measured = []
    for utterance in utterances:
        try:
            samples = load_audio(utterance.audio, _RATE, offset=utterance.offset, duration=utterance.duration)
        except AudioError:
            continue
        measured.append((replace(utterance, text=normalizer(utterance.text or "")), len(samples) / _RATE))
    return measured


def _learn_by_heart(by_length: Sequence[Utterance], say: Callable[[str], None]) -> float:
    """Lowest CER, percent, of a small model trained on a few utterances of middling length and tested on the same."""
    middle = max(0, len(by_length) // 2 - _LEARNED // 2)
    chosen = by_length[middle : middle + _LEARNED]
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
                "training": {"epochs": 35, "batch_utterances": _LEARNED // 2, "learning_rate": 5e-3, "patience": 5},
            }
        )
        return float(train(config, name / "run").summary["validation_cer"])
