"""Faults of a take that a speaker can mend at once: too quiet, clipped, noisy, too short, cut off."""

from pathlib import Path

import numpy as np

from asr.audio import QUIET, load_audio
from asr.containers import container_of, read_head
from asr.corpus.check_audio import inspect_file
from asr.corpus.check_verdicts import CLIPPED_PEAK, CLIPPED_SHARE, SILENT_RMS
from asr.errors import AudioError

CLIPPED, SILENT, VERY_QUIET, MUCH_NOISE = "clipped", "silent", "very quiet", "much noise"
TOO_SHORT, CUT_START, CUT_END = "too short", "cut off at the beginning", "cut off at the end"
_RATE = 16_000  # Hz
_FRAME = 0.03  # seconds
_CLEAR = 15.0  # dB that speech is louder than the noise around it, at least
_NEAR = 12.0  # dB below the level of speech; a recording that begins or ends louder begins or ends in speech
_SHORTEST = 0.3  # seconds
_FASTEST = 30.0  # characters a second
_LONGEST = 600.0  # seconds of a take


def judge_take(path: Path, text: str) -> list[str]:
    """Return what is wrong with the sound of a take of `text`, in words; nothing if all is well.

    Raises AudioError if the file is no WAV with sound, or longer than ten minutes.
    """
    if container_of(read_head(path)) != "WAV":
        raise AudioError("the take is no WAV file; record it again")
    (found,) = inspect_file(path, [(0.0, None)])
    figures = found.figures
    if figures is None:
        raise AudioError(f"the take cannot be used: {found.message}; record it again")
    if figures.duration > _LONGEST:
        raise AudioError(f"the take has {figures.duration:.0f} s, at most {_LONGEST:.0f} s are kept; record it again")
    warnings = []
    if figures.duration < max(_SHORTEST, len(text) / _FASTEST):
        warnings.append(TOO_SHORT)
    if figures.rms < SILENT_RMS:
        return [*warnings, SILENT]
    if figures.clipped > CLIPPED_SHARE and figures.peak > CLIPPED_PEAK:
        warnings.append(CLIPPED)
    if figures.peak < QUIET:
        warnings.append(VERY_QUIET)
    return warnings + _faults_of_levels(_levels(load_audio(path, _RATE, channel="mix")))


def _levels(samples: np.ndarray) -> np.ndarray:
    """Return the level of each frame of samples `(N,)` in dB."""
    size = round(_FRAME * _RATE)
    frames = np.resize(samples, max(len(samples), size))[: max(len(samples) // size, 1) * size].reshape(-1, size)
    frames = frames - frames.mean(axis=1, keepdims=True)
    return np.asarray(10 * np.log10(np.square(frames).mean(axis=1) + 1e-10))


def _faults_of_levels(levels: np.ndarray) -> list[str]:
    noise, speech = np.percentile(levels, [10, 95])
    if speech - noise < _CLEAR:
        return [MUCH_NOISE]  # or speech without any pause, whose ends nobody can tell
    faults = []
    if levels[0] > speech - _NEAR:
        faults.append(CUT_START)
    if levels[-1] > speech - _NEAR:
        faults.append(CUT_END)
    return faults
