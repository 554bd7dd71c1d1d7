"""The samples of a recording for the eye and the ear: extremes for a waveform, parts of at most a minute."""

import hashlib
import io
from pathlib import Path

import numpy as np
import soundfile

from asr.audio import load_audio
from asr.decoders import open_recording
from asr.errors import AsrError, AudioError, OutputError
from asr.files import whole_file
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.playable import seekable
from asr.serving.workspace.saved import stamp

RATE = 16_000  # Hz of the samples of a part
LONGEST = 60.0  # seconds of a part
MOST_COLUMNS = 20_000
_STEP = 0.01  # seconds that one stored pair of extremes stands for
_FAR = 1e7  # seconds; no recording is longer
_FULL = 32767  # the extremes are stored in 16 bits


def part(workspace: Workspace, recording: Path, start: float, end: float) -> bytes:
    """Return a part of a recording as a WAV file: 16 bits, one channel, `RATE` Hz.

    Raises AsrError for bounds that are no part of at most `LONGEST` seconds, AudioError if it cannot be read.
    """
    if not 0.0 <= start < end or end - start > LONGEST + 0.001:
        raise AsrError(f"start={start:g}, end={end:g}: name a part of a recording of at most {LONGEST:g} s, in seconds")
    source = seekable(workspace, recording)
    samples = load_audio(source, RATE, offset=start, duration=end - start, channel="mix", salvage=True)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def peaks(
    workspace: Workspace, recording: Path, count: int, start: float = 0.0, end: float | None = None
) -> tuple[list[float], list[float]]:
    """Return the lowest and the highest sample in each of `count` equal columns between `start` and `end` seconds.

    Without `end`, the last column ends with the recording. Columns after the end of the recording are 0.
    """
    if not 1 <= count <= MOST_COLUMNS:
        raise AsrError(f"count={count}: ask for 1 to {MOST_COLUMNS} columns")
    lows, highs = _stored(workspace, recording)
    last = len(lows) * _STEP if end is None else end
    if not 0.0 <= start < last < _FAR:
        raise AsrError(f"start={start:g}, end={last:g}: name a part of the recording, in seconds")
    if (last - start) / count < _STEP:  # finer than what is stored: at most 200 s
        return _fine(workspace, recording, count, start, last)
    edges = np.linspace(start, last, count + 1) / _STEP
    first = np.floor(edges[:-1] + 1e-6).astype(np.int64)
    stops = np.maximum(np.ceil(edges[1:] - 1e-6).astype(np.int64), first + 1)
    result = []
    for values, extreme in ((lows, np.minimum), (highs, np.maximum)):
        columns = [extreme.reduce(values[i:j]) if i < len(values) else 0 for i, j in zip(first, stops, strict=True)]
        result.append([round(int(value) / _FULL, 4) for value in columns])
    return result[0], result[1]


def _fine(
    workspace: Workspace, recording: Path, count: int, start: float, end: float
) -> tuple[list[float], list[float]]:
    """Return the extremes of columns that are shorter than the stored ones, from the samples themselves."""
    lows, highs = [0.0] * count, [0.0] * count
    with open_recording(seekable(workspace, recording), salvage=True) as opened:
        rate = opened.sample_rate
        edges = np.round(np.linspace(start, end, count + 1) * rate).astype(np.int64)
        blocks = [block.mean(axis=1) for block in opened.blocks(int(edges[0]), int(edges[-1]))]
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    for column in range(count):
        begin = edges[column] - edges[0]
        values = samples[begin : max(edges[column + 1] - edges[0], begin + 1)]
        if len(values):
            lows[column], highs[column] = round(float(values.min()), 4), round(float(values.max()), 4)
    return lows, highs


def _stored(workspace: Workspace, recording: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest samples of each `_STEP` of a recording, int16, from the file that keeps them."""
    changed, size = stamp(recording)
    key = hashlib.sha256(f"{workspace.identify(recording)}\0{changed}\0{size}".encode()).hexdigest()[:32]
    path = workspace.hidden("peaks", f"{key}.npy")
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        if stored.ndim == 2 and stored.shape[0] == 2 and stored.dtype == np.int16:
            return stored[0], stored[1]
    except (OSError, ValueError, EOFError):  # not there, or damaged
        pass
    extremes = _extremes(recording)
    try:
        with whole_file(path) as file:
            np.save(file, extremes, allow_pickle=False)
    except OutputError:  # a folder that cannot be written: it is computed each time
        pass
    return extremes[0], extremes[1]


def _extremes(recording: Path) -> np.ndarray:
    """Decode a recording once, in blocks; return the extremes of each `_STEP`: int16 of shape `(2, columns)`."""
    columns: list[np.ndarray] = []
    with open_recording(recording, salvage=True) as opened:
        rate = opened.sample_rate
        rest, position, done = np.zeros(0, np.float32), 0, 0  # samples not in a column yet, and where they begin
        for block in opened.blocks():
            rest = np.concatenate([rest, block.mean(axis=1)])
            known = int((position + len(rest)) / (_STEP * rate))
            if known > done:
                edges = np.round(np.arange(done, known + 1) * _STEP * rate).astype(np.int64) - position
                edges = edges[edges <= len(rest)]
                columns.append(_reduced(rest[: edges[-1]], edges[:-1]))
                done += len(edges) - 1
                position += int(edges[-1])
                rest = rest[edges[-1] :]
    if len(rest):
        columns.append(_reduced(rest, np.zeros(1, np.int64)))
    if not columns:
        raise AudioError(f"{recording}: holds no samples; record or export it again")
    return np.concatenate(columns, axis=1)


def _reduced(samples: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the extremes of the columns of samples that begin at `starts`, int16 of shape `(2, columns)`."""
    values = np.clip(samples, -1.0, 1.0) * _FULL
    extremes = np.stack([np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)])
    return np.round(extremes).astype(np.int16)
