"""How a recogniser bears noise, rooms, telephones and codecs: one test set, scored under each condition.

The sound of a condition is a function of the condition and of the id of an utterance. So all models hear equal sound,
in every run. Changed recordings go through the path of `asr transcribe`, as files.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr.acoustics.channels import CHANNELS, through
from asr.acoustics.noise import Noise, mix, pink, power, read_noise
from asr.acoustics.rooms import Rooms, open_rooms
from asr.acoustics.sounds import evenly
from asr.audio import load_audio, to_int16
from asr.config import SIMULATED
from asr.corpus.encoding import encode
from asr.corpus.manifest import read_manifest, with_hypothesis, write_manifest
from asr.errors import AsrError, AudioError
from asr.progress import ProgressBar
from asr.recognition.transcribe import transcribe
from asr.recognition.transcriber import Transcriber
from asr.scoring.tables import Table
from asr.scoring.wer import ErrorRate, Score, score
from asr.utterance import Utterance

CLEAN, ROOM, NOISE = "clean", "room", "noise-"
CONDITIONS = (CLEAN, "noise-20", "noise-10", "noise-5", ROOM, *CHANNELS)
_RATIOS = -100.0, 200.0  # dB of signal to noise


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of an utterance, in [0, 1), equal under all conditions; `generator` is for made noise."""

    sound: float
    where: float
    room: float
    strength: float
    generator: np.random.Generator

    @classmethod
    def of(cls, identifier: str) -> "Draws":
        """Draw from the id of an utterance."""
        seed = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).digest()
        generator = np.random.default_rng(list(seed))
        sound, where, room, strength = generator.random(4).tolist()
        return cls(sound, where, room, strength, generator)


class Conditions:
    """The conditions of a test, by name: `clean`, `room`, `noise-10`, a channel, or several of them, joined by `+`."""

    def __init__(self, names: Sequence[str], sample_rate: int, *, noise: Path | None, rooms: Path | None) -> None:
        """Read the sounds of folders; without them, noise is pink and rooms are simulated.

        Raises ConfigError for folders that cannot be used, and AsrError for a name that is no condition, and for a
        folder that no condition uses.
        """
        parts = {part: name for name in names for part in name.split("+")}
        for part, name in parts.items():
            if part not in (CLEAN, ROOM, *CHANNELS) and _ratio(part) is None:
                raise AsrError(
                    f"--conditions {name}: {part!r} is no condition; give some of {', '.join(CONDITIONS)}, "
                    "joined by + if one follows another, such as room+noise-15+telephone"
                )
        self.names = tuple(dict.fromkeys(names))
        self._rate = sample_rate
        self._noise: Noise | None = None
        self._rooms: Rooms | None = None
        if noise is not None:
            self._noise = read_noise(noise, sample_rate, setting="--noise")
        if rooms is not None or ROOM in parts:
            self._rooms = open_rooms(SIMULATED if rooms is None else rooms, sample_rate, setting="--rooms")
        for setting, folder, used in (
            ("--noise", noise, any(part.startswith(NOISE) for part in parts)),
            ("--rooms", rooms, ROOM in parts),
        ):
            if folder is not None and not used:
                part = ROOM if setting == "--rooms" else f"{NOISE}10"
                raise AsrError(f"{setting} {folder}: no condition uses it; add {part} to --conditions, or leave it out")

    def facts(self) -> list[str]:
        """Describe the noise and the rooms that are used."""
        steps = "+".join(self.names).split("+")
        lines = []
        if any(step.startswith(NOISE) for step in steps):
            lines.append(f"noise: {'pink noise' if self._noise is None else self._noise.facts}")
        if self._rooms is not None:
            lines.append(f"room: {self._rooms.facts}")
        return lines

    def apply(self, name: str, samples: np.ndarray, identifier: str) -> np.ndarray:
        """Return the samples `(N,)` of an utterance under a condition, `(N,)` in [-1, 1]."""
        draws = Draws.of(identifier)
        for part in name.split("+"):
            samples = self._changed(part, samples, draws)
            samples = samples / max(1.0, float(np.abs(samples).max()))
        return samples.astype(np.float32)

    def _changed(self, part: str, samples: np.ndarray, draws: Draws) -> np.ndarray:
        if part == ROOM and self._rooms is not None:
            return self._rooms.reverberate(samples, draws.room)
        if part in CHANNELS:
            return through(part, samples, self._rate, draws.strength)
        ratio = _ratio(part)
        if ratio is None:  # clean
            return samples
        if self._noise is not None:
            return mix(samples, *self._noise.part(len(samples), draws.sound, draws.where), ratio)
        made = pink(len(samples), draws.generator)
        return mix(samples, made, power(made), ratio)


def _ratio(part: str) -> float | None:
    """Return the signal-to-noise ratio of a condition `noise-DB`, or None for any other name."""
    try:
        ratio = float(part.removeprefix(NOISE)) if part.startswith(NOISE) else np.nan
    except ValueError:
        return None
    return ratio if _RATIOS[0] <= ratio <= _RATIOS[1] else None


@dataclass(frozen=True, slots=True)
class Robustness:
    """The scores of a test set under each condition, and the utterances that could not be read."""

    scores: dict[str, Score]
    failed: list[str]

    def table(self) -> Table:
        """Return a row for each condition: WER and CER with 95 % intervals, and the errors that they count."""
        columns = "condition", "%WER", "95 % interval", "errors", "%CER", "95 % interval", "errors"
        rows = [
            (name, *(cell for rate in (one.wer, one.cer) for cell in (rate.percent, _interval(rate), rate.errors)))
            for name, one in self.scores.items()
        ]
        first = next(iter(self.scores.values()))
        counts = f"{first.utterances} utterances, {first.wer.total} words, {first.cer.total} characters"
        return Table(f"{counts} under each condition; intervals over {first.wer.resampled}", columns, rows)

    def worse(self) -> list[str]:
        """Return the conditions whose WER is above that of clean speech by more than both intervals."""
        clean = self.scores.get(CLEAN)
        if clean is None:
            return []
        return [name for name, one in self.scores.items() if one.wer.interval[0] > clean.wer.interval[1]]


def robustness(
    model: Transcriber,
    manifest: Path,
    conditions: Conditions,
    *,
    most: int | None = None,
    output: Path | None = None,
    bar: ProgressBar | None = None,
) -> Robustness:
    """Transcribe and score the utterances of a manifest under each condition.

    Texts are normalised as the model does. With `most`, at most so many utterances are used, evenly spaced. The folder
    `output` gets the hypotheses of each condition, `NAME.jsonl`. Utterances that cannot be read are left out of all
    conditions. Raises ManifestError for a bad manifest, and AsrError if no utterance is left.
    """
    field = model.settings.get("data", {}).get("text_field", "text")
    utterances = read_manifest(manifest, require_text=True, text_field=field)
    utterances = utterances if most is None else evenly(utterances, most)
    if bar is not None:
        bar.expect(len(utterances) * len(conditions.names))
    failed: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="asr-") as folder:
        for name in conditions.names:
            left = [utterance for utterance in utterances if utterance.id not in failed]
            changed = _written(model, left, conditions, name, Path(folder))
            readable = [one for one in changed if isinstance(one, Utterance)]
            failed |= {u.id: str(one) for u, one in zip(left, changed, strict=True) if isinstance(one, AudioError)}
            found[name] = {}
            for utterance, result in transcribe(model, readable):
                if isinstance(result, AudioError):
                    failed[utterance.id] = str(result)
                else:
                    found[name][utterance.id] = result.text
                if bar is not None:
                    bar.advance(note=name)
    used = [utterance for utterance in utterances if utterance.id not in failed]
    if not used:
        raise AsrError(
            f"{manifest}: none of its {len(utterances)} recordings can be used: {next(iter(failed.values()))}"
        )
    scores = {
        name: score(
            [utterance.text or "" for utterance in used],
            [texts[utterance.id] for utterance in used],
            normalizer=model.normalizer,
            speakers=[utterance.speaker for utterance in used],
        )
        for name, texts in found.items()
    }
    if output is not None:
        for name, texts in found.items():
            write_manifest(output / f"{name}.jsonl", [with_hypothesis(one, texts[one.id]) for one in used])
    return Robustness(scores, list(failed.values()))


def _written(
    model: Transcriber, utterances: Sequence[Utterance], conditions: Conditions, name: str, folder: Path
) -> list[Utterance | AudioError]:
    """Write the recordings of a condition to a folder; return the utterances, or the errors of unreadable ones.

    Clean recordings stay where they are. Recordings of one folder stay together: a model may equalise them together.
    """
    if name == CLEAN:
        return list(utterances)
    changed: list[Utterance | AudioError] = []
    parents = {parent: number for number, parent in enumerate(dict.fromkeys(one.audio.parent for one in utterances))}
    for number, utterance in enumerate(utterances):
        try:
            samples = load_audio(
                utterance.audio,
                model.sample_rate,
                offset=utterance.offset,
                duration=utterance.duration,
                channel="mix",
            )
        except AudioError as error:
            changed.append(error)
            continue
        path = folder / str(parents[utterance.audio.parent]) / f"{number}.flac"
        path.parent.mkdir(exist_ok=True)
        content = encode(to_int16(conditions.apply(name, samples, utterance.id)), model.sample_rate, "flac")
        path.write_bytes(content)
        changed.append(replace(utterance, audio=path, offset=0.0, duration=None))
    return changed


def _interval(rate: ErrorRate) -> str:
    low, high = rate.interval
    return f"{low:.2f}-{high:.2f}{' exact' * rate.exact}"
