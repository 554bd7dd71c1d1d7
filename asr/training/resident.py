"""A corpus in the memory of a GPU: the GPU cuts batches from it and never waits for recordings."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from asr.corpus.corpus import Corpus
from asr.corpus.pack import PackedCorpus
from asr.features import frame_mask

_EVEN_SECONDS = 0.5  # batches are padded to a multiple of this, because each new size takes time to plan
_SHARE = 0.25  # largest share of the free memory for recordings; training needs the rest


class ResidentCorpus:
    """The recordings of a corpus, as 16-bit samples in the memory of a device."""

    def __init__(self, corpus: PackedCorpus, device: torch.device) -> None:
        ends = np.cumsum(corpus.num_samples)
        self._even = round(_EVEN_SECONDS * corpus.sample_rate)
        self._starts = ends - corpus.num_samples
        self._num_samples = corpus.num_samples
        self._samples = torch.empty(int(ends[-1]), dtype=torch.int16, device=device)
        for index, (start, end) in enumerate(zip(self._starts, ends, strict=True)):
            self._samples[start:end] = torch.tensor(corpus.samples(index))

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return audio `(B, N)`, padded with at least as many zeros as `pad` adds, and lengths `(B,)` in samples."""
        device = self._samples.device
        rows = np.asarray(indices)
        starts, lengths = torch.from_numpy(np.stack([self._starts[rows], self._num_samples[rows]])).to(device)
        size = self._even * -(-int(self._num_samples[rows].max()) // self._even)
        places = starts[:, None] + torch.arange(size, device=device)
        audio = self._samples[places.clamp_max(len(self._samples) - 1)].float() / 32768
        return audio * frame_mask(lengths, size), lengths


def resident(corpus: Corpus, device: torch.device) -> ResidentCorpus | None:
    """Copy a corpus to a GPU, if it is packed, not equalised, and takes at most a quarter of the free memory."""
    if device.type != "cuda" or corpus.is_equalized or not isinstance(corpus, PackedCorpus):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return ResidentCorpus(corpus, device) if 2 * int(corpus.num_samples.sum()) < _SHARE * free else None
