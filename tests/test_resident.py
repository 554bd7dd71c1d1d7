"""Recordings in device memory give the batches that padding gives."""

from pathlib import Path

import torch

from asr.batching import pad
from asr.corpus.manifest import read_manifest
from asr.corpus.pack import pack
from asr.training.resident import ResidentCorpus, resident


def test_batches_on_the_device_are_those_of_the_disk(tones: Path, tmp_path: Path, device: torch.device) -> None:
    corpus = pack(read_manifest(tones / "train.jsonl"), 8000, tmp_path / "packed")
    corpus.select(range(len(corpus) - 1, 1, -2))  # neither all nor in order
    there = ResidentCorpus(corpus, device)
    for indices in ([0], [3, 1, 2], [len(corpus) - 1, 0]):
        audio, lengths = there.batch(indices)
        expected = pad(corpus.audio(index) for index in indices)
        assert audio.device.type == device.type
        size = expected[0].shape[1]
        assert torch.equal(audio[:, :size].cpu(), expected[0]) and torch.equal(lengths.cpu(), expected[1])
        assert audio.shape[1] % 4000 == 0 and not audio[:, size:].any()


def test_only_recordings_as_they_are_that_fit_stay_on_a_gpu(tones: Path, tmp_path: Path, device: torch.device) -> None:
    corpus = pack(read_manifest(tones / "train.jsonl"), 8000, tmp_path / "packed")
    assert (resident(corpus, device) is not None) == (device.type == "cuda")
    corpus.equalize()
    assert resident(corpus, device) is None
