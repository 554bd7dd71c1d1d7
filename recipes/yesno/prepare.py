"""YesNo -> manifests: Kaldi's and icefall's split, sorted by name, the first 30 for training, the rest test.

Every sixth training recording is kept for validation. All training recordings begin with "no" and most test
recordings do not, so that a model can learn to begin with "no" without listening. Each recording is therefore used
again from each of its first four pauses on, as a reference with an offset.
"""

from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import soundfile

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.recipe import open_corpus, write_splits
from asr.errors import ManifestError
from asr.utterance import Utterance

# The sum is the one that torchaudio.datasets.YESNO checks.
ARCHIVES = [
    Archive(
        "https://www.openslr.org/resources/1/waves_yesno.tar.gz",
        checksum="sha256:c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73",
    )
]
WORDS = {"0": "no", "1": "yes"}
RECORDINGS = 60


def main() -> None:
    source, out = open_corpus("yesno", __doc__, ARCHIVES)
    utterances = [describe(path) for path in sorted(source.glob("**/waves_yesno/*.wav"))]
    if len(utterances) != RECORDINGS:
        raise ManifestError(f"{source}: {len(utterances)} recordings found, {RECORDINGS} expected in waves_yesno/*.wav")
    first, test = utterances[:30], utterances[30:]
    validation = first[::6]
    train = [utterance for index, utterance in enumerate(first) if index % 6]
    write_splits(
        out,
        {"train": train + later_parts(train), "validation": validation + later_parts(validation), "test": test},
    )


def describe(path: Path) -> Utterance:
    """The utterance in `0_1_….wav`, where 1 is "ken" (yes) and 0 is "lo" (no)."""
    text = " ".join(WORDS[digit] for digit in path.stem.split("_"))
    return Utterance(id=path.stem, audio=path, text=text, duration=soundfile.info(path).duration)


def later_parts(utterances: list[Utterance]) -> list[Utterance]:
    """Each recording whose words can be told apart, again from the pauses before its second to fifth word on."""
    parts = []
    for utterance in utterances:
        words = (utterance.text or "").split()
        for skipped, start in enumerate((find_pauses(utterance.audio) or [])[:4], start=1):
            parts.append(
                replace(
                    utterance,
                    id=f"{utterance.id}@{skipped}",
                    text=" ".join(words[skipped:]),
                    offset=round(start, 3),
                    duration=round((utterance.duration or 0) - start, 3),
                )
            )
    return parts


def find_pauses(path: Path) -> list[float] | None:
    """The middles (s) of the seven pauses between eight words, or None where no loudness threshold shows eight."""
    samples, rate = soundfile.read(path, dtype="float32")
    for threshold in range(15, 46):
        words = librosa.effects.split(samples, top_db=threshold, frame_length=rate // 20, hop_length=rate // 100) / rate
        words = words[words[:, 1] - words[:, 0] > 0.1]
        steps = np.diff(words[:, 0])
        if len(words) == 8 and steps.min() > 0.35 and steps.max() < 0.95:
            return [float(pause) for pause in (words[:-1, 1] + words[1:, 0]) / 2]
    return None


if __name__ == "__main__":
    run(main)
