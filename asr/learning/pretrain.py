"""Pre-training: an encoder that learns from all recordings, transcribed or not, before training on those with texts."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.split import hash_fraction
from asr.errors import AudioError, TrainingError
from asr.lengths import hop_samples
from asr.pretrained import Pretrained
from asr.recognition.longform import Piece, read_pieces
from asr.recognition.trained_lengths import PieceLengths
from asr.training.train import train
from asr.utterance import Utterance
from asr.wording import counted

SHORTEST = 0.3  # seconds of a segment
FEWEST = 20  # segments
_LENGTHS = PieceLengths(whole=20.0, longest=15.0, pause=0.5)
_VALIDATION = 0.05  # share of the segments
_MOST_VALIDATION = 200  # segments
_MASKS = {"frequency_masks": 2, "time_masks_per_second": 2.5, "time_mask_ms": 300.0}


def pretrain(
    config: Config, recordings: Sequence[Utterance], out: Path, *, say: Callable[[str], None], overwrite: bool = False
) -> Pretrained:
    """Pre-train the encoder of `config` on recordings and on the audio of its training data, without their texts.

    Writes a run to `out`, as `train` does, with the segments in `train.jsonl` and `validation.jsonl`. A repeated call
    resumes. Recordings that cannot be read are reported and left out. Raises TrainingError if there are fewer than
    FEWEST segments with speech, and the errors of `train`.
    """
    everything = _with_training_audio(config, recordings)
    found = list(segments(everything, config.features.sample_rate, say))
    if len(found) < FEWEST:
        raise TrainingError(
            f"{counted('{} segment<s>', len(found))} with speech in {counted('{} recording<s>', len(everything))}: "
            f"pre-training needs at least {FEWEST}; add recordings"
        )
    found.sort(key=lambda segment: hash_fraction(segment.id))
    held_out = min(_MOST_VALIDATION, max(1, round(_VALIDATION * len(found))))
    data = {}
    for name, part in (("validation", found[:held_out]), ("train", found[held_out:])):
        write_manifest(out / f"{name}.jsonl", part)
        data[name] = [str(out / f"{name}.jsonl")]
    model = train(pretraining_config(config, data), out, overwrite=overwrite)
    assert isinstance(model, Pretrained)
    return model


def pretraining_config(config: Config, data: Mapping[str, Sequence[str]]) -> Config:
    """Return the configuration of pre-training for the features and the encoder of `config`.

    Settings of `augment` and `training` that `config` states are kept; masks are set where it leaves them open.
    """
    tree = config.model_dump(exclude_unset=True)
    stated = tree.get("augment", {})
    masks = {name: value for name, value in _MASKS.items() if name not in stated}
    tree |= {
        "task": "pretraining",
        "data": {**data, "train_on_empty": True},
        "augment": {**stated, **masks, "join": 0.0},
        "model": {**tree.get("model", {}), "decoder": "ctc"},
    }
    return Config.model_validate(tree)


def segments(recordings: Sequence[Utterance], sample_rate: int, say: Callable[[str], None]) -> Iterator[Utterance]:
    """Divide recordings by speech; yield segments of 0.3 to about 20 seconds, without texts.

    `sample_rate` is in Hz. A recording that cannot be read, or in which there is no speech, is reported.
    """
    step = hop_samples(sample_rate, 10.0)
    for recording in recordings:
        pieces: list[tuple[float, float]] = []
        fault = f"{recording.audio}: no speech"
        for _, piece in read_pieces(
            recording, "mix", sample_rate=sample_rate, stride=step, lengths=_LENGTHS, equalized=_unchanged
        ):
            if isinstance(piece, Piece):
                pieces.append((piece.start * step / sample_rate, len(piece.samples) / sample_rate))
            elif isinstance(piece, AudioError):
                pieces, fault = [], str(piece)
            elif not piece.speech:
                pieces = []
        if not pieces:
            say(f"left out: {fault}")
        for start, seconds in pieces:
            if seconds >= SHORTEST:
                offset = round(recording.offset + start, 3)
                name = _named(recording, offset)
                yield Utterance(name, recording.audio, offset=offset, duration=round(seconds, 3), text="")


def _with_training_audio(config: Config, recordings: Sequence[Utterance]) -> list[Utterance]:
    """Return recordings, each once, and the training utterances of `config` that are not in whole ones of them."""
    training = [utterance for path in config.data.train for utterance in read_manifest(path)]
    found = {(Path(u.audio).resolve(), u.offset, u.duration): u for u in (*recordings, *training)}
    whole = {path for path, offset, duration in found if not offset and duration is None}
    return [
        u for (path, offset, duration), u in found.items() if path not in whole or (not offset and duration is None)
    ]


def _named(recording: Utterance, offset: float) -> str:
    """Return the id of a segment: the name of its recording, a digest of its path, and its start in milliseconds."""
    digest = hashlib.sha256(str(recording.audio).encode()).hexdigest()[:8]
    return f"{Path(recording.audio).stem}-{digest}-{round(1000 * offset):08d}"


def _unchanged(samples: np.ndarray, _: int | None) -> np.ndarray:
    return samples
