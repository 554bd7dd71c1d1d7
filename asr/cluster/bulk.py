"""Bulk transcription: an input divided into shards, and utterances transcribed to rows of a manifest."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr.corpus.manifest import to_row, with_hypothesis
from asr.errors import AudioError
from asr.recognition.interface import DecodingModel
from asr.recognition.longform import Channels
from asr.recognition.transcribe import transcribe
from asr.transcript import Transcript
from asr.utterance import Utterance
from asr.writers.outputs import with_channel, with_transcript

if TYPE_CHECKING:
    from asr.recognition.search import Search  # imports numba, which best path does not need


def plan_shards(seconds: Sequence[float | None], count: int) -> list[range]:
    """Divide the lines of an input into `count` shards of consecutive lines; a shard may be empty.

    `seconds` are the durations of the lines. If all are known, shards have about equal seconds: a shard differs from
    the mean by the longest line at most. Else shards have about equal numbers of lines. Equal arguments give equal
    shards on every machine.
    """
    total = len(seconds)
    known = [duration for duration in seconds if duration is not None]
    ends = np.concatenate([[0.0], np.cumsum(np.array(known, dtype=float))])
    if len(known) < total or not ends[-1] > 0:
        bounds = [total * number // count for number in range(count + 1)]
    else:
        goals = ends[-1] * np.arange(1, count) / count
        after = np.searchsorted(ends, goals)  # the first line that ends at the goal or after it
        nearest = after - (goals - ends[after - 1] < ends[after] - goals)
        bounds = [0, *nearest.tolist(), total]
    return [range(first, end) for first, end in pairwise(bounds)]


def transcribe_rows(
    model: DecodingModel,
    utterances: Sequence[Utterance],
    search: "Search | None" = None,
    *,
    folder: Path,
    channels: Channels = "mix",
    salvage: bool = False,
    part: range | None = None,
) -> Iterator[dict[str, Any]]:
    """Transcribe utterances in their order; yield rows of a manifest in `folder`, with `hypothesis` or `error`.

    A row is the one that `asr transcribe -o NAME.jsonl` writes. An utterance that cannot be read keeps its place: its
    row has the message as `error`, and no hypothesis. `channels`, `search`, `salvage` and `part` are those of
    `asr.recognition.transcribe.transcribe`.
    """
    for utterance, result in transcribe(model, utterances, channels, search, salvage=salvage, part=part):
        yield row_of(utterance, result, folder, split=channels == "split")


def row_of(
    utterance: Utterance, result: Transcript | AudioError, folder: Path, *, split: bool = False
) -> dict[str, Any]:
    """Return the row of an utterance; an input that was an output before loses its `hypothesis` and `error`."""
    before = {key: value for key, value in utterance.extra.items() if key not in ("hypothesis", "error")}
    utterance = replace(utterance, extra=before)
    if isinstance(result, Transcript):
        named = with_channel(utterance, result.channel if split else None)
        return to_row(with_transcript(named, result), folder)
    row = to_row(with_hypothesis(utterance, ""), folder)
    del row["hypothesis"]
    return {**row, "error": str(result)}
