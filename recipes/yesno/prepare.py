"""YesNo -> manifests: the split of Kaldi and icefall, by name: the first 30 recordings for training, the rest for test.

Every sixth training recording is for validation. All training recordings begin with "no", but most test recordings do
not. A model could therefore learn to begin every text with "no". To prevent this, each training recording is used again
from each of its first four pauses on, as a manifest line with an offset.
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

# The checksum is from torchaudio.datasets.YESNO.
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
        raise ManifestError(
            f"{source}: {len(utterances)} recordings found, {RECORDINGS} expected in waves_yesno/*.wav; "
            "give the folder of the corpus, or download it again"
        )
    first, test = utterances[:30], utterances[30:]
    validation = first[::6]
    train = [utterance for index, utterance in enumerate(first) if index % 6]
    write_splits(
        out,
        {"train": train + later_parts(train), "validation": validation + later_parts(validation), "test": test},
    )


def describe(path: Path) -> Utterance:
    """Return the utterance of a recording `0_1_….wav`, where 1 is "ken" (yes) and 0 is "lo" (no)."""
    text = " ".join(WORDS[digit] for digit in path.stem.split("_"))
    return Utterance(id=path.stem, audio=path, text=text, duration=soundfile.info(path).duration)


def later_parts(utterances: list[Utterance]) -> list[Utterance]:
    """Return parts of each recording: from each pause before its second to fifth word to its end.

    A recording without eight words that `find_pauses` can separate gives no part.
    """
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
    """Return the centres (s) of the seven pauses between eight words; None if no loudness threshold gives eight."""
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
