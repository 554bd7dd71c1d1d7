"""The lengths of speech that a run trains on, which the model file keeps."""

from collections.abc import Sequence

import numpy as np

from asr.batching import Joined
from asr.recognition.trained_lengths import TrainedLengths
from asr.training.recordings import Recordings, in_order

_LONGEST, _AT_LEAST = 99, 5.0  # percentile of the lengths of recordings; seconds
_PAUSE, _FEWEST = 5, 20  # percentile of the gaps between utterances; gaps that make a percentile
_TOUCHING = 0.05  # seconds; lines that are nearer touch, and tell nothing of pauses
_PAUSES, _USUAL_PAUSE = (0.2, 1.0), 0.5  # seconds


def measure_lengths(recordings: Recordings, plan: Sequence[Sequence[Joined]]) -> TrainedLengths:
    """Return the lengths that a model learns from the batches of an epoch.

    `longest` is the 99th percentile of recordings with usual pauses, because a few long recordings teach little. It is
    at least 5 s: a recurrent model trained on single words still reads short sentences. `pause` is the 5th percentile
    of the gaps between the utterances of a recording, from 0.2 to 1 s; it is 0.5 s if there are few gaps.
    """
    rate = recordings.corpus.sample_rate
    samples = [recordings.usual_samples(joined) for batch in plan for joined in batch]
    longest = max(_AT_LEAST, float(np.percentile(samples, _LONGEST)) / rate)
    gaps = [gap / rate for _, _, gap in in_order(recordings.corpus) if gap > _TOUCHING * rate]
    pause = float(np.percentile(gaps, _PAUSE).clip(*_PAUSES)) if len(gaps) >= _FEWEST else _USUAL_PAUSE
    return TrainedLengths(longest=round(longest, 2), pause=round(pause, 2))
