"""The demo corpus: strings of digits, like telephone numbers, spoken by espeak-ng in many human-sounding voices.

Training, validation and test have different voices.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asr.cli import run
from asr.corpus.espeak import Synthesizer
from asr.corpus.manifest import write_manifest
from asr.progress import ProgressBar
from asr.utterance import Utterance

SAMPLE_RATE = 16000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "oh", "double", "triple")
ACCENTS = ("en", "en-US", "en-US-nyc", "en-029", "en-GB-scotland", "en-GB-x-rp", "en-GB-x-gbclan", "en-GB-x-gbcwmd")

# The variants of espeak-ng that sound like a person, without robots, whispers, croaks and effects. Versions of one
# voice (iven, iven2 …) are one tuple, so that they are in one split.
TEST_VOICES = (
    ("Alicia",), ("Lee",), ("Mario",), ("announcer",), ("belinda",), ("edward", "edward2"), ("f3",), ("grandpa",),
    ("m4",), ("paul",), ("quincy",), ("zac",),
)  # fmt: skip
VALIDATION_VOICES = (("Annie",), ("Reed",), ("david",), ("f5",), ("m6",), ("victor",))
TRAINING_VOICES = (
    ("Alex",), ("Andrea",), ("Andy",), ("Denis",), ("Diogo",), ("Gene", "Gene2"), ("Henrique",), ("Hugo",),
    ("Jacky",), ("Marco",), ("Michael",), ("Mike", "mike2"), ("Mr serious",), ("Nguyen",),
    ("RicishayMax", "RicishayMax2", "RicishayMax3"), ("Storm",), ("adam",), ("anika",), ("antonio",), ("aunty",),
    ("benjamin",), ("boris",), ("caleb",), ("ed",), ("f1",), ("f2",), ("f4",), ("grandma",), ("gustave",), ("ian",),
    ("iven", "iven2", "iven3", "iven4"), ("john",), ("kaukovalta",), ("linda",), ("m1",), ("m2",), ("m3",), ("m5",),
    ("m7",), ("m8",), ("marcelo",), ("max",), ("michel",), ("miguel",), ("norbert",), ("pablo",), ("pedro",),
    ("rob",), ("robert",), ("sandro",), ("shelby",), ("steph", "steph2", "steph3"), ("travis",),
)  # fmt: skip
SPLITS = {"train": (TRAINING_VOICES, 2400), "validation": (VALIDATION_VOICES, 240), "test": (TEST_VOICES, 300)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("data/demo"),
        help="folder for recordings and manifests (default: %(default)s)",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the corpus to make, for a quick test (default: %(default)s)"
    )
    arguments = parser.parse_args()

    synthesizer = Synthesizer()
    sizes = {name: max(1, round(count * arguments.scale)) for name, (_, count) in SPLITS.items()}
    with ProgressBar("synthesising", sum(sizes.values())) as bar:
        for seed, (name, (voices, _)) in enumerate(SPLITS.items()):
            generator = np.random.default_rng(seed)
            utterances = []
            for number in range(sizes[name]):
                utterances.append(speak(synthesizer, generator, voices, arguments.out / name / f"{number:04d}.wav"))
                bar.advance()
            write_manifest(arguments.out / f"{name}.jsonl", utterances)


def speak(
    synthesizer: Synthesizer, generator: np.random.Generator, voices: tuple[tuple[str, ...], ...], path: Path
) -> Utterance:
    """Write one string of digits to `path`, with random voice, rate, pitch, pitch range, level and noise."""
    text = " ".join(generator.choice(WORDS, generator.integers(3, 8)))
    family = voices[generator.integers(len(voices))]
    variant = family[generator.integers(len(family))]
    language = "gmw/" + ACCENTS[generator.integers(len(ACCENTS))]
    speech = synthesizer.speak(
        text,
        language=language,
        variant=variant,
        rate=int(generator.integers(110, 190)),
        pitch=int(generator.integers(30, 71)),
        pitch_range=int(generator.integers(20, 81)),
    )
    samples = soxr.resample(speech.samples, speech.sample_rate, SAMPLE_RATE)
    samples *= 10 ** (generator.uniform(-26, -6) / 20) / np.abs(samples).max()
    noise = np.sqrt(np.mean(samples**2)) * 10 ** (-generator.uniform(20, 40) / 20)
    samples += noise * generator.standard_normal(len(samples)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
    return Utterance(
        id=f"{path.parent.name}-{path.stem}",
        audio=path,
        text=text,
        duration=len(samples) / SAMPLE_RATE,
        speaker=variant,
        extra={"language": language},
    )


if __name__ == "__main__":
    run(main)
