"""Sessions made of the utterances of a manifest, with known borders: how a model transcribes whole recordings.

A session is a row of utterances, trimmed to their speech, with 0.3 to 3 s of their own background around each. Each
session is transcribed whole, and once more cut at its known borders, with equal sound added to both. Prints a JSON line
for each condition: WER of both and their ratio, and how many borders of utterances and of segments lie within 0.15 s of
each other.

    python bench/sessions.py runs/mboshi/model.safetensors data/mboshi/test.jsonl --conditions clean,noise10,far
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from asr.audio import load_audio
from asr.corpus.manifest import read_manifest
from asr.recognition.recognizer import Recognizer, load
from asr.scoring.wer import score
from asr.utterance import Utterance

GAPS = 0.3, 3.0  # seconds between two utterances
WITHIN = 0.15  # seconds between a border of an utterance and that of a segment
MARGIN = 0.1  # seconds that stay on either side of the speech of an utterance
AROUND = 0.25  # seconds of background on either side of an utterance that is cut by hand, at most
STEP = 0.01  # seconds of a frame whose level is measured
BELOW, LOUD = 22.0, 12.0  # decibels below the loud frames where speech begins and ends, and that it rises above
FAINT = 25.0  # decibels that background is below its utterance, at least
CONDITIONS = ("clean", "noise20", "noise10", "noise5", "hum", "music", "far")


@dataclass(frozen=True, slots=True)
class Session:
    """A recording made of utterances: samples `(N,)`, and start, end (in samples) and text of each utterance."""

    samples: np.ndarray
    bounds: tuple[tuple[int, int], ...]
    texts: tuple[str, ...]

    def by_hand(self, rate: int) -> Iterator[tuple[int, int]]:
        """Yield the bounds of each utterance with some background, up to the middle of the pause."""
        edges = [0, *((end + start) // 2 for (_, end), (start, _) in pairwise(self.bounds)), len(self.samples)]
        margin = round(AROUND * rate)
        for (start, end), (before, after) in zip(self.bounds, pairwise(edges), strict=True):
            yield max(before, start - margin), min(after, end + margin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--utterances", type=int, default=60, help="utterances in all (default: %(default)s)")
    parser.add_argument("--each", type=int, default=10, help="utterances of a session (default: %(default)s)")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="names, with commas (default: %(default)s)")
    options = parser.parse_args()
    recognizer = load(options.model, "cpu")
    utterances = read_manifest(options.manifest)[: options.utterances]
    sessions = list(make_sessions(utterances, recognizer.sample_rate, each=options.each))
    for condition in options.conditions.split(","):
        print(json.dumps(compare(recognizer, condition, [disturbed(one, condition, recognizer) for one in sessions])))


def make_sessions(utterances: Sequence[Utterance], rate: int, *, each: int) -> Iterator[Session]:
    """Make sessions of `each` utterances in their order, at `rate` Hz."""
    generator = np.random.default_rng(0)
    for first in range(0, len(utterances), each):
        parts: list[np.ndarray] = []
        bounds: list[tuple[int, int]] = []
        length = 0
        chosen = utterances[first : first + each]
        for utterance in chosen:
            samples = load_audio(utterance.audio, rate, offset=utterance.offset, duration=utterance.duration)
            start, end = speech_bounds(samples, rate)
            first, last = max(0, start - round(MARGIN * rate)), min(len(samples), end + round(MARGIN * rate))
            gaps = [round(generator.uniform(*GAPS) / 2 * rate) for _ in range(2)]
            before = background(samples, rate, gaps[0] - (start - first), generator)
            after = background(samples, rate, gaps[1] - (last - end), generator)
            parts += [before, samples[first:last], after]
            bounds.append((length + gaps[0], length + gaps[0] + end - start))
            length += gaps[0] + end - start + gaps[1]
        yield Session(np.concatenate(parts), tuple(bounds), tuple(one.text or "" for one in chosen))


def levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the level of each frame of `STEP` in decibels."""
    step = round(STEP * rate)
    frames = samples[: len(samples) // step * step].reshape(-1, step)
    return 10 * np.log10(np.square(frames, dtype=np.float64).mean(axis=1) + 1e-12)


def speech_bounds(samples: np.ndarray, rate: int) -> tuple[int, int]:
    """Find the first sample of speech in an utterance without noise, and its end: faint sounds do not count."""
    level = levels(samples, rate)
    level -= np.percentile(level, 98)
    edges = np.flatnonzero(np.diff(level > -BELOW, prepend=False, append=False)).reshape(-1, 2)
    runs = [(first, end) for first, end in edges.tolist() if level[first:end].max() > -LOUD]
    step = round(STEP * rate)
    return runs[0][0] * step, runs[-1][1] * step


def background(samples: np.ndarray, rate: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Make `count` samples of background: the quietest frames of an utterance in random order, overlapped and added.

    The background of an utterance without a quiet frame is lowered until it is `FAINT` decibels below the utterance.
    """
    size = round(0.04 * rate) // 2 * 2
    hop = size // 2
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    energy = np.square(frames).mean(axis=1)
    quietest = frames[np.argsort(energy)[: max(4, len(frames) // 10)]]
    made = np.zeros(count + 2 * size, np.float32)
    window = np.sqrt(np.hanning(size + 1)[:size])  # keeps the power of frames that have nothing in common
    for start in range(0, count + size, hop):
        made[start : start + size] += window * quietest[generator.integers(len(quietest))]
    power = np.square(quietest).mean() / np.square(samples).mean()
    return made[hop : hop + count] * np.float32(min(1.0, 10 ** (-FAINT / 20) / np.sqrt(power)) if power else 1.0)


def disturbed(session: Session, condition: str, recognizer: Recognizer) -> Session:
    """Add the sound that a condition names to a session; its level is measured against that of speech."""
    generator = np.random.default_rng(1)
    samples, rate = session.samples, recognizer.sample_rate
    speech = np.concatenate([samples[start:end] for start, end in session.bounds])
    sounds: dict[str, tuple[Callable[[], np.ndarray], float]] = {
        "clean": (lambda: np.zeros(len(samples)), 0.0),
        "hum": (lambda: hum(len(samples), rate), -10.0),
        "music": (lambda: music(len(samples), rate, generator), -15.0),
        "far": (lambda: np.resize(np.roll(speech, len(speech) // 2), len(samples)), -25.0),
    }
    if condition.startswith("noise"):
        make, level = (lambda: pink(len(samples), generator)), -float(condition.removeprefix("noise"))
    else:
        make, level = sounds[condition]
    sound = make()
    power = np.square(sound).mean()
    scale = np.sqrt(np.square(speech).mean() / power) * 10 ** (level / 20) if power else 0.0
    mixed = samples + scale * sound
    return Session((mixed / max(1.0, np.abs(mixed).max())).astype(np.float32), session.bounds, session.texts)


def pink(count: int, generator: np.random.Generator) -> np.ndarray:
    """Make noise whose power falls by 3 dB an octave."""
    return lfilter(
        [0.049922, -0.095993, 0.050612, -0.004408], [1, -2.494956, 2.017265, -0.522189], generator.normal(size=count)
    )


def hum(count: int, rate: int) -> np.ndarray:
    """Make the hum of mains of 50 Hz with its overtones."""
    time = np.arange(count) / rate
    return np.sum([np.sin(2 * np.pi * 50 * number * time) / number for number in range(1, 9)], axis=0)


def music(count: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Make chords of three decaying tones with overtones, a new one every 0.2 to 0.8 s."""
    made = np.zeros(count)
    start = 0
    while start < count:
        length = int(generator.uniform(0.2, 0.8) * rate)
        time = np.arange(min(2 * length, count - start)) / rate
        for note in generator.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16], 3, replace=False):
            frequency = 220 * 2 ** (note / 12)
            for overtone in range(1, 6):
                made[start : start + len(time)] += (
                    np.sin(2 * np.pi * frequency * overtone * time) * np.exp(-3 * time) / overtone
                )
        start += length
    return made


def compare(recognizer: Recognizer, condition: str, sessions: Sequence[Session]) -> dict[str, object]:
    """Transcribe sessions whole, and cut at their known borders."""
    rate = recognizer.sample_rate
    parts = [one.samples[start:end] for one in sessions for start, end in one.by_hand(rate)]
    by_hand = score([text for one in sessions for text in one.texts], recognizer.recognize(parts), interval=False)
    whole = list(recognizer.transcribe([one.samples for one in sessions], rate))
    found = score([" ".join(one.texts) for one in sessions], [one.text for one in whole], interval=False)
    near: list[bool] = []  # for each true border, whether a border of a segment lies near it
    true: list[bool] = []  # of each border of a segment: is a true border near it
    segments = 0
    for session, transcript in zip(sessions, whole, strict=True):
        segments += len(transcript.segments)
        for side in range(2):
            known = np.array([bound[side] / rate for bound in session.bounds])
            seen = np.array([(segment.start, segment.end)[side] for segment in transcript.segments])
            distances = np.abs(known[:, None] - seen)
            near += (distances.min(axis=1, initial=np.inf) <= WITHIN).tolist()
            true += (distances.min(axis=0, initial=np.inf) <= WITHIN).tolist()
    return {
        "bench": "sessions",
        "condition": condition,
        "utterances": sum(len(one.texts) for one in sessions),
        "segments": segments,
        "wer_cut": round(by_hand.wer.percent, 2),
        "wer_session": round(found.wer.percent, 2),
        "cer_cut": round(by_hand.cer.percent, 2),
        "cer_session": round(found.cer.percent, 2),
        "ratio": round(found.wer.errors / by_hand.wer.errors, 3) if by_hand.wer.errors else None,
        "borders_found": round(float(np.mean(near)), 3),
        "borders_right": round(float(np.mean(true)), 3) if true else None,
    }


if __name__ == "__main__":
    main()
