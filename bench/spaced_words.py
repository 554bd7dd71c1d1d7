"""Recordings whose word times are exact, for `bench/word_times.py`: synthetic words with pauses of known length.

    python bench/spaced_words.py FOLDER

Each word of the demo's vocabulary is spoken alone by espeak-ng, cut to the samples above -40 dB of its loudest, and
laid on a time line of faint noise: at once after the word before it, or after a pause of 0.1 to 0.6 s. So both borders
of each word are known, which espeak-ng does not tell of whole strings. The voices are some of the demo's test voices.
Writes FOLDER/spaced.jsonl, FOLDER/times.tsv and the recordings.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asr.corpus.espeak import Synthesizer
from asr.corpus.manifest import write_manifest
from asr.utterance import Utterance

RATE = 16000  # Hz
STRINGS, WORDS = 100, 6
VOCABULARY = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double", "triple")
VOICES = ("Alicia", "Lee", "Mario", "belinda", "edward", "f3", "grandpa", "paul", "zac")  # human-sounding, unseen
EDGE = 10 ** (-40 / 20)  # amplitude of the first and the last sample of a word, relative to its loudest
PAUSES = 0.1, 0.6  # seconds
AT_ONCE = 0.5  # share of words without a pause before them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    generator, synthesizer = np.random.default_rng(0), Synthesizer()
    utterances, rows = [], ["utterance\tstart\tend\tword"]
    for number in range(STRINGS):
        name, voice, rate = f"spaced-{number:03d}", str(generator.choice(VOICES)), int(generator.integers(110, 190))
        parts, position, words = [], 0, generator.choice(VOCABULARY, WORDS).tolist()
        for index, word in enumerate([*words, None]):
            pause = 0 if 0 < index < WORDS and generator.random() < AT_ONCE else generator.uniform(*PAUSES)
            parts.append(np.zeros(round(pause * RATE)))
            position += len(parts[-1])
            if word is not None:
                parts.append(spoken(synthesizer, word, voice, rate))
                rows.append(f"{name}\t{position / RATE:.4f}\t{(position + len(parts[-1])) / RATE:.4f}\t{word}")
                position += len(parts[-1])
        samples = np.concatenate(parts)
        samples += 10 ** (-35 / 20) * np.sqrt(np.mean(samples**2)) * generator.standard_normal(len(samples))
        path = folder / f"{name}.wav"
        soundfile.write(path, 0.3 * samples, RATE, subtype="PCM_16")
        utterances.append(Utterance(name, path, " ".join(words), duration=len(samples) / RATE))
    write_manifest(folder / "spaced.jsonl", utterances)
    (folder / "times.tsv").write_text("\n".join(rows) + "\n")


def spoken(synthesizer: Synthesizer, word: str, voice: str, rate: int) -> np.ndarray:
    """Speak a word alone; return its samples `(N,)` from its first to its last audible sample, the loudest 1."""
    speech = synthesizer.speak(word, language="gmw/en-US", variant=voice, rate=rate)
    samples = soxr.resample(speech.samples, speech.sample_rate, RATE)
    samples /= np.abs(samples).max()
    audible = np.flatnonzero(np.abs(samples) > EDGE)
    return samples[audible[0] : audible[-1] + 1]


if __name__ == "__main__":
    main()
