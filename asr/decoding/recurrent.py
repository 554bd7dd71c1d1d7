"""Recurrent language models as files hold them: network, tokens and normaliser; what they score, what they write."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch

from asr.batching import plan_batches
from asr.decoding.ngram import BEGIN, END, SPECIALS, UNKNOWN, Kind, TokenModel, join_tokens
from asr.errors import LanguageModelError, ModelFileError
from asr.model import read_metadata, write_model_file
from asr.nn.lm import LanguageModel
from asr.nn.rnn import State
from asr.text import Normalizer

TASK = "language model"
_BATCH_TOKENS = 1 << 14  # scored at a time, padding included
_BATCH_SENTENCES = 512


class RecurrentLM(TokenModel):
    """A recurrent network that knows its tokens. Each sentence it scores begins with `<s>`, in the state of zeros."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        units: Kind,
        normalizer: Normalizer,
        settings: Mapping[str, Any],
        summary: dict[str, Any] | None = None,
    ) -> None:
        """A model with fresh weights. `settings` are those of `LanguageModel`, `summary` is what `asr info` shows."""
        super().__init__(vocabulary, units)
        self.normalizer = normalizer
        self.settings = dict(settings)
        self.summary = summary or {}
        self.network = LanguageModel(num_tokens=len(self.vocabulary), **settings)

    @property
    def device(self) -> torch.device:
        return self.network.output.weight.device

    @torch.inference_mode()
    def log_probs(self, sentences: Sequence[np.ndarray]) -> Iterable[np.ndarray]:
        self.network.eval()
        found: list[np.ndarray] = [np.empty(0)] * len(sentences)
        lengths = [len(sentence) for sentence in sentences]
        for batch in plan_batches(lengths, max_samples=_BATCH_TOKENS, max_utterances=_BATCH_SENTENCES):
            following = [torch.from_numpy(sentences[index]).long() for index in batch]
            targets = torch.nn.utils.rnn.pad_sequence(following, batch_first=True).to(self.device)  # (B, S)
            before = targets.roll(1, dims=1)
            before[:, 0] = BEGIN
            log_probs, _ = self.network(before)
            rows = log_probs.gather(-1, targets[:, :, None])[:, :, 0].double().cpu().numpy()
            for index, row in zip(batch, rows, strict=True):
                found[index] = row[: lengths[index]]
        return found

    @torch.inference_mode()
    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        seed: int = 0,
        states: Sequence[State] | None = None,
    ) -> str:
        """`prompt` and `length` tokens after it, drawn one by one; each sentence that ends is a line.

        Probabilities are taken to the power of 1 / `temperature`: below 1 what is likely gets likelier, at 0 the
        likeliest is always taken. `states` are where to begin, those of a vector from `network.begin` for one.
        Raises LanguageModelError for a prompt with tokens that the model does not know.
        """
        self.network.eval()
        told = self.tokens(self.normalizer(prompt))
        if unknown := sorted(set(told) - set(self.vocabulary[len(SPECIALS) :])):
            raise LanguageModelError(
                f"the model does not know {', '.join(map(repr, unknown))}; leave it out of the prompt"
            )
        generator = torch.Generator().manual_seed(seed)
        lines = [told]
        tokens = [BEGIN, *self.encode(told).tolist()]
        for _ in range(length):
            log_probs, states = self.network(torch.tensor([tokens], device=self.device), states)
            scores = log_probs[0, -1].cpu()
            scores[[UNKNOWN, BEGIN]] = -torch.inf
            if temperature > 0:
                token = int(torch.multinomial((scores / temperature).softmax(0), 1, generator=generator))
            else:
                token = int(scores.argmax())
            if token == END:
                lines.append([])
            else:
                lines[-1].append(self.vocabulary[token])
            tokens = [BEGIN if token == END else token]
        return "\n".join(join_tokens(line, self.units) for line in lines)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Weights and vocabulary in arrays, for a safetensors file."""
        weights = {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        return {**weights, "vocabulary": np.frombuffer("\n".join(self.vocabulary).encode(), dtype=np.uint8)}

    def to_metadata(self) -> dict[str, Any]:
        """Everything else, for the JSON in that file."""
        return {
            "task": TASK,
            "units": self.units,
            "text": vars(self.normalizer),
            "network": self.settings,
            "training": self.summary,
        }

    @classmethod
    def from_parts(cls, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> "RecurrentLM":
        """What `to_tensors` and `to_metadata` took apart. Raises LanguageModelError if the parts do not fit."""
        try:
            weights = {name: torch.tensor(array) for name, array in tensors.items()}
            vocabulary = weights.pop("vocabulary").numpy().tobytes().decode().split("\n")
            if tuple(vocabulary[: len(SPECIALS)]) != SPECIALS or len(set(vocabulary)) != len(vocabulary):
                raise ValueError("its vocabulary is damaged")
            if metadata["units"] not in ("words", "characters"):
                raise ValueError(f"units {metadata['units']!r}")
            normalizer = Normalizer(**metadata["text"])
            lm = cls(vocabulary, metadata["units"], normalizer, metadata["network"], metadata["training"])
            lm.network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise LanguageModelError(f"the stored recurrent language model is damaged: {error}") from None
        return lm

    def save(self, path: str | Path) -> None:
        """Writes the language model file, whole or not at all. The same model gives the same bytes."""
        tensors = {name: torch.tensor(array) for name, array in self.to_tensors().items()}
        write_model_file(path, tensors, self.to_metadata())


def load_recurrent(path: str | Path) -> RecurrentLM:
    """Reads a language model file. Raises ModelFileError that names it if it is missing, damaged or something else."""
    metadata = read_metadata(path)
    if metadata.get("task") != TASK:
        raise ModelFileError(f"{path}: is no recurrent language model; `asr lm train-rnn` makes one of text")
    try:
        return RecurrentLM.from_parts(safetensors.numpy.load_file(path), metadata)
    except (LanguageModelError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"{path}: {error}; copy it again") from None
