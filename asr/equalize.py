"""Equalisation: one filter for each speaker removes the average effect of microphone, room and voice.

Words differ within a recording; speakers and microphones differ between recordings. The average spectrum of a speaker
therefore says little about words, but a model trained on few speakers mistakes it for information about words. Each
filter brings the average spectrum of its speaker to one target spectrum (blind equalisation: Stockham, Cannon and
Ingebretsen 1975). The average of only a word or two would still hold the words themselves, so a filter estimated from
less speech has a weaker effect.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from threading import Lock
from typing import Self

import numpy as np

from asr.audio import load_audio
from asr.decoders import Recording, open_recording
from asr.errors import AudioError
from asr.utterance import Utterance

_WINDOW = 0.032  # seconds
_SPEECH_DB = 30.0  # dB below the loudest frame; weaker frames are pauses
_MAX_GAIN_DB = 25.0  # dB up or down at any frequency
_SMOOTHING = 280.0  # Hz; wide enough to hide harmonics and the formants of single words
_LOWEST, _KNEE = 80.0, 500.0  # Hz; the target is flat up to the knee, then falls by 6 dB per octave, as speech does
_HALF_EFFECT_SECONDS = 5.0  # seconds of speech at which a filter has half of its effect
_FFT_SAMPLES = 16_000  # samples; from this length on, convolution by Fourier transform is faster
ENOUGH_SECONDS = 120.0  # seconds of recordings that are read for the filter of one speaker


class Equalizer:
    """The filters of many recordings: one filter for all recordings of a source (a speaker or a folder).

    A filter is estimated at the first recording of its source, from at most two minutes of that source.
    """

    def __init__(self, sources: Sequence[Hashable], read: Callable[[int], np.ndarray], sample_rate: int) -> None:
        """Set up for recordings of `sources`; `read(index)` returns the samples `(N,)` of recording `index`.

        A recording without samples does not change the filter.
        """
        self._sources = sources
        self._read = read
        self._sample_rate = sample_rate
        self._recordings: dict[Hashable, list[int]] = defaultdict(list)
        for index, source in enumerate(sources):
            self._recordings[source].append(index)
        self._filters: dict[Hashable, np.ndarray] = {}
        self._lock = Lock()  # several threads read recordings

    @classmethod
    def of_files(
        cls,
        utterances: Sequence[Utterance],
        sample_rate: int,
        channel: int | None = None,
        *,
        opened: Callable[[Utterance], AbstractContextManager[Recording]] = lambda one: open_recording(one.audio),
    ) -> Self:
        """Set up for audio files, by one channel or by the average of all channels.

        `opened` opens the recording of an utterance (default: the file that it names). A recording that cannot be
        read is skipped here, because the caller reads and reports it.
        """

        def read(index: int) -> np.ndarray:
            one = utterances[index]
            duration = ENOUGH_SECONDS if one.duration is None else min(one.duration, ENOUGH_SECONDS)
            try:
                with opened(one) as recording:
                    return load_audio(
                        recording,
                        sample_rate,
                        offset=one.offset,
                        duration=duration,
                        channel=channel or "mix",
                        allow_short=True,
                    )
            except AudioError:
                return np.zeros(0, np.float32)

        return cls([source_of(utterance) for utterance in utterances], read, sample_rate)

    def __call__(self, index: int, samples: np.ndarray) -> np.ndarray:
        """Filter samples `(N,)` of recording `index`, or of a part of it; return `(N,)` in float32, without delay."""
        source = self._sources[index]
        with self._lock:
            if source not in self._filters:
                self._filters[source] = self._estimate(self._recordings[source])
        return filtered(samples, self._filters[source])

    def _estimate(self, indices: Sequence[int]) -> np.ndarray:
        spectra: list[np.ndarray] = []
        num_samples = 0
        for index in np.random.default_rng(0).permutation(indices).tolist():  # because manifests may be sorted by text
            samples = self._read(index)
            if len(samples):
                spectra.append(speech_spectra(samples, self._sample_rate))
            num_samples += len(samples)
            if num_samples >= ENOUGH_SECONDS * self._sample_rate:
                break
        return equalizing_filter(np.concatenate(spectra), self._sample_rate) if spectra else np.ones(1)


def source_of(utterance: Utterance) -> Hashable:
    """Return the speaker of an utterance or, if unknown, the folder of its recording.

    The recordings of a folder mostly come from one microphone, and often from one speaker.
    """
    return utterance.audio.parent if utterance.speaker is None else utterance.speaker


def equalize(waveforms: Sequence[np.ndarray], sample_rate: int) -> list[np.ndarray]:
    """Filter each waveform `(N,)` with a filter of its own, as if each came from another speaker."""
    equalizer = Equalizer(range(len(waveforms)), waveforms.__getitem__, sample_rate)
    return [equalizer(index, waveform) for index, waveform in enumerate(waveforms)]


def filtered(samples: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Filter samples `(N,)` with the taps of a linear-phase filter; return `(N,)` in float32, without delay.

    The number of taps is odd.
    """
    if not len(samples):
        return samples
    from scipy.signal import oaconvolve  # a slow import, needed only by models that equalise

    convolve = np.convolve if len(samples) < _FFT_SAMPLES else oaconvolve
    whole: np.ndarray = convolve(samples, taps.astype(np.float32))
    return whole[len(taps) // 2 :][: len(samples)]


def speech_spectra(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return log power spectra `(T, F)` of the frames with speech, each frame minus its mean."""
    size = round(_WINDOW * sample_rate)
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)))
    total = power.sum(axis=1)
    logs = np.log(power[total >= total.max() * 10 ** (-_SPEECH_DB / 10)] + 1e-10)
    spectra: np.ndarray = logs - logs.mean(axis=1, keepdims=True)
    return spectra


def equalizing_filter(spectra: np.ndarray, sample_rate: int) -> np.ndarray:
    """Design the linear-phase filter that moves the mean of `spectra` `(T, F)` towards the target spectrum.

    With `t` seconds of speech, the filter has `t / (t + 5)` of its full effect. Returns an odd number of taps.
    """
    from scipy.signal import firwin2

    frequencies = np.linspace(0, sample_rate / 2, spectra.shape[1])
    octaves = np.log2(np.maximum(frequencies, _KNEE) / _KNEE)
    target = -2 * np.log(2) * octaves  # natural logarithm of power
    difference = target - target.mean() - spectra.mean(axis=0)
    difference[frequencies < _LOWEST] = difference[np.argmax(frequencies >= _LOWEST)]
    width = 2 * round(_SMOOTHING / frequencies[1] / 2) + 1
    window = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(np.pad(difference, width // 2, "edge"), window / window.sum(), mode="valid")
    seconds = len(spectra) * _WINDOW / 2
    limit = _MAX_GAIN_DB / 10 * np.log(10)
    gain = np.clip(smooth, -limit, limit) * seconds / (seconds + _HALF_EFFECT_SECONDS)
    taps: np.ndarray = firwin2(2 * (spectra.shape[1] - 1) + 1, frequencies / frequencies[-1], np.exp(gain / 2))
    return taps
