"""Recurrent language models in PyTorch: scoring, and generation of text."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from asr.batching import plan_batches
from asr.errors import LanguageModelError
from asr.lm.base import NOT_NUMBERS, Description, Given, RecurrentModel
from asr.lm.ngram import BEGIN, END, SPECIALS, UNKNOWN, Kind, join_tokens
from asr.nn.lm import LanguageModel
from asr.nn.weights import TENSORS_PER_LAYER, require_weights
from asr.text import Normalizer

_BATCH_TOKENS = 1 << 14  # tokens scored at a time, with padding
_BATCH_SENTENCES = 512


class RecurrentLM(RecurrentModel):
    """A recurrent network in PyTorch with its tokens: it can be trained, scores sentences, and generates text."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        units: Kind,
        normalizer: Normalizer,
        settings: Mapping[str, Any],
        summary: dict[str, Any] | None = None,
        given: Given | None = None,
    ) -> None:
        """Make a model with fresh weights; `RecurrentModel` explains the arguments."""
        super().__init__(vocabulary, units, normalizer, settings, summary, given)
        self.network = LanguageModel(num_tokens=len(self.vocabulary), **settings)

    @property
    def device(self) -> torch.device:
        return self.network.output.weight.device

    def condition(self, vectors: np.ndarray | None, count: int) -> Tensor | None:
        """Return `vectors (count, C)` of `count` sentences on the device of the network; None for no condition.

        Raises LanguageModelError if the shape is not the one that the model needs.
        """
        found = self.require_vectors(vectors, count)
        return None if found is None else torch.from_numpy(found).to(self.device)

    @torch.inference_mode()
    def log_probs(self, sentences: Sequence[np.ndarray], vectors: np.ndarray | None = None) -> Iterable[np.ndarray]:
        given = self.condition(vectors, len(sentences))
        self.network.eval()
        found: list[np.ndarray] = [np.empty(0)] * len(sentences)
        lengths = [len(sentence) for sentence in sentences]
        for batch in plan_batches(lengths, max_samples=_BATCH_TOKENS, max_utterances=_BATCH_SENTENCES):
            following = [torch.from_numpy(sentences[index]).long() for index in batch]
            targets = torch.nn.utils.rnn.pad_sequence(following, batch_first=True).to(self.device)  # (B, S)
            before = targets.roll(1, dims=1)
            before[:, 0] = BEGIN
            log_probs, _ = self.network(before, None, None if given is None else given[batch])
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
        vector: np.ndarray | None = None,
    ) -> str:
        """Return `prompt` and `length` tokens after it, drawn one by one; each sentence is a line.

        Probabilities are raised to the power 1 / `temperature`: below 1, likely tokens are drawn more often; at 0, the
        most likely token is always taken. A conditional model needs a `vector (C,)`. Raises LanguageModelError for a
        prompt with unknown tokens, for a missing vector, and if the outputs of the network are not numbers (NaN).
        """
        given = self.condition(None if vector is None else np.asarray(vector)[None], 1)
        self.network.eval()
        given_tokens = self.tokens(self.normalizer(prompt))
        if unknown := sorted(set(given_tokens) - set(self.vocabulary[len(SPECIALS) :])):
            raise LanguageModelError(
                f"the model does not know {', '.join(map(repr, unknown))}; leave it out of the prompt"
            )
        generator = torch.Generator().manual_seed(seed)
        lines = [given_tokens]
        tokens = [BEGIN, *self.encode(given_tokens).tolist()]
        states = None
        for _ in range(length):
            log_probs, states = self.network(torch.tensor([tokens], device=self.device), states, given)
            scores = log_probs[0, -1].cpu()
            if scores.isnan().any():
                raise LanguageModelError(NOT_NUMBERS)
            scores[[UNKNOWN, BEGIN]] = -torch.inf
            if temperature > 0:
                scores -= scores.max()  # so that a small temperature does not turn all of them into -inf
                token = int(torch.multinomial((scores / temperature).softmax(0), 1, generator=generator))
            else:
                token = int(scores.argmax())
            if token == END:
                lines.append([])
            else:
                lines[-1].append(self.vocabulary[token])
            tokens = [BEGIN if token == END else token]
        return "\n".join(join_tokens(line, self.units) for line in lines)

    def weights(self) -> Mapping[str, np.ndarray]:
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}

    @classmethod
    def with_weights(cls, description: Description, weights: dict[str, np.ndarray]) -> Self:
        tensors = {name: torch.tensor(array) for name, array in weights.items()}
        _require_network(description.settings, len(description.vocabulary), tensors)
        text = description.vocabulary, description.units, description.normalizer
        lm = cls(*text, description.settings, description.summary, description.given)
        lm.network.load_state_dict(tensors)
        return lm


def _require_network(settings: Mapping[str, Any], tokens: int, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless stored weights are finite and have the shapes that the settings describe.

    The network is built without memory ("meta" tensors). So a small file cannot ask for a network that is large.
    """
    if settings.get("layers", 1) * TENSORS_PER_LAYER > len(weights):
        raise ValueError(f"{settings['layers']} layers cannot be in {len(weights)} tensors")
    with torch.device("meta"):
        network = LanguageModel(num_tokens=tokens, **settings)
    if not network.layers:
        raise ValueError("it has no layers")
    require_weights(network.state_dict(), weights)


def load_recurrent(path: str | Path, *, conditional: bool = False) -> RecurrentLM:
    """Read a language model file into PyTorch, as `RecurrentModel.from_file` does."""
    return RecurrentLM.from_file(path, conditional=conditional)
