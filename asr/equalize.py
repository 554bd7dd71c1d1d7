"""What microphone, room and voice do to the average spectrum of all that a speaker says, evened out by one filter.

Words differ within a recording, speakers and microphones between recordings: what all recordings of a speaker have in
common tells little of words, and a model of few speakers takes it for what tells them. Blind equalisation (Stockham,
Cannon and Ingebretsen 1975) towards one spectrum for everybody. It needs some seconds of speech: the average of a word
or two is most of what tells the words, so filters act the less the less speech they were found on.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Self

import numpy as np

from asr.audio import load_audio
from asr.errors import AudioError
from asr.utterance import Utterance

_WINDOW = 0.032  # seconds
_SPEECH_DB = 30.0  # frames that are weaker than the loudest by more are pauses
_MOST_DB = 25.0  # of what a filter does to any frequency
_SMOOTHING = 280.0  # Hz; formants of single words are not to be seen, nor harmonics
_LOWEST, _KNEE = 80.0, 500.0  # Hz; the target is flat to the knee, then falls by 6 dB an octave, as speech does
_HALF_SECONDS = 5.0  # of speech with which a filter does half of what it found
_LONG = 16_000  # samples from which the Fourier transform is quicker
ENOUGH_SECONDS = 120.0  # of recordings that are heard of one speaker


class Equalizer:
    """The filters of many recordings, one for all of a source.

    A filter is found when its first recording comes; then no more than two minutes are read of that source.
    """

    def __init__(self, sources: Sequence[Hashable], read: Callable[[int], np.ndarray], sample_rate: int) -> None:
        """`read(index)` gives the samples `(N,)` of a recording of `sources[index]`; of none it learns nothing."""
        self._sources = sources
        self._read = read
        self._sample_rate = sample_rate
        self._recordings: dict[Hashable, list[int]] = defaultdict(list)
        for index, source in enumerate(sources):
            self._recordings[source].append(index)
        self._filters: dict[Hashable, np.ndarray] = {}
        self._lock = Lock()  # recordings are read in several threads

    @classmethod
    def of_files(cls, utterances: Sequence[Utterance], sample_rate: int, channel: int | None = None) -> Self:
        """For one channel of each, or the average of all; what cannot be read is left for others to name."""

        def read(index: int) -> np.ndarray:
            one = utterances[index]
            duration = ENOUGH_SECONDS if one.duration is None else min(one.duration, ENOUGH_SECONDS)
            try:
                return load_audio(
                    one.audio, sample_rate, offset=one.offset, duration=duration, channel=channel or "mix"
                )
            except AudioError:
                return np.zeros(0, np.float32)

        return cls([source_of(utterance) for utterance in utterances], read, sample_rate)

    def __call__(self, index: int, samples: np.ndarray) -> np.ndarray:
        """All or some samples `(N,)` of recording `index` through its filter, without delay; float32."""
        source = self._sources[index]
        with self._lock:
            if source not in self._filters:
                self._filters[source] = self._find(self._recordings[source])
        return filtered(samples, self._filters[source])

    def _find(self, indices: Sequence[int]) -> np.ndarray:
        spectra: list[np.ndarray] = []
        num_samples = 0
        for index in np.random.default_rng(0).permutation(indices).tolist():  # manifests are often sorted by text
            samples = self._read(index)
            if len(samples):
                spectra.append(speech_spectra(samples, self._sample_rate))
            num_samples += len(samples)
            if num_samples >= ENOUGH_SECONDS * self._sample_rate:
                break
        return equalizing_filter(np.concatenate(spectra), self._sample_rate) if spectra else np.ones(1)


def source_of(utterance: Utterance) -> Hashable:
    """Its speaker, or the folder of its recording, which mostly is of one microphone and often of one speaker."""
    return utterance.audio.parent if utterance.speaker is None else utterance.speaker


def equalize(waveforms: Sequence[np.ndarray], sample_rate: int) -> list[np.ndarray]:
    """Waveforms `(N,)` that have nothing to do with each other, each through a filter of its own."""
    equalizer = Equalizer(range(len(waveforms)), waveforms.__getitem__, sample_rate)
    return [equalizer(index, waveform) for index, waveform in enumerate(waveforms)]


def filtered(samples: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Samples `(N,)` through a filter of linear phase `(K,)`, `K` odd, its delay taken back; float32."""
    if not len(samples):
        return samples
    from scipy.signal import oaconvolve  # takes its time, and only models that equalise need it

    convolve = np.convolve if len(samples) < _LONG else oaconvolve
    whole: np.ndarray = convolve(samples, taps.astype(np.float32))
    return whole[len(taps) // 2 :][: len(samples)]


def speech_spectra(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Log power spectra `(T, F)` of the frames of speech, the mean of each taken out."""
    size = round(_WINDOW * sample_rate)
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)))
    total = power.sum(axis=1)
    logs = np.log(power[total >= total.max() * 10 ** (-_SPEECH_DB / 10)] + 1e-10)
    spectra: np.ndarray = logs - logs.mean(axis=1, keepdims=True)
    return spectra


def equalizing_filter(spectra: np.ndarray, sample_rate: int) -> np.ndarray:
    """The filter `(K,)`, of linear phase, that brings `spectra (T, F)` to the target on average, or part of the way."""
    from scipy.signal import firwin2

    frequencies = np.linspace(0, sample_rate / 2, spectra.shape[1])
    octaves = np.log2(np.maximum(frequencies, _KNEE) / _KNEE)
    target = -2 * np.log(2) * octaves  # the natural logarithm of power
    difference = target - target.mean() - spectra.mean(axis=0)
    difference[frequencies < _LOWEST] = difference[np.argmax(frequencies >= _LOWEST)]
    width = 2 * round(_SMOOTHING / frequencies[1] / 2) + 1
    window = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(np.pad(difference, width // 2, "edge"), window / window.sum(), mode="valid")
    seconds = len(spectra) * _WINDOW / 2
    most = _MOST_DB / 10 * np.log(10)
    gain = np.clip(smooth, -most, most) * seconds / (seconds + _HALF_SECONDS)
    taps: np.ndarray = firwin2(2 * (spectra.shape[1] - 1) + 1, frequencies / frequencies[-1], np.exp(gain / 2))
    return taps
