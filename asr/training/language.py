"""Training of recurrent language models by truncated backpropagation through time.

The sentences of an epoch, in random order, are one stream of tokens, cut into rows that are read side by side, `bptt`
tokens at a time. Each such chunk begins in the state that the one before it ended in, but gradients stop at its border:
what was read before counts, and computing time does not grow with it (Williams and Peng 1990; Mikolov et al. 2010).
"""

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from asr.config import TrainingConfig
from asr.files import write_whole
from asr.lm.ngram import BEGIN, END, UNKNOWN, NGram, Perplexity, join_tokens
from asr.lm.recurrent import Given, RecurrentLM, load_recurrent
from asr.nn.rnn import State, map_state
from asr.run_log import Row
from asr.text import Normalizer
from asr.training.build import program
from asr.training.hardware import keep_memory, processes, steady_numbers
from asr.training.loop import MODEL_FILE, fit
from asr.training.task import Task
from asr.training.watch import say

NO_TARGET = -100  # in place of a token beyond the end of the stream
BPTT = 64  # tokens that gradients go back at most
MAX_ROWS = 32
MIN_LENGTH = 7000  # of a row; a text too short for that has fewer rows, since it takes many steps to learn
RARE = 0.5  # share of the tokens seen once that an epoch reads as `<unk>`, so that the model learns what it is

Vectors = tuple[np.ndarray, np.ndarray] | tuple[None, None]  # of training and validation sentences, `(n, C)` each


@steady_numbers()
def train(
    training: Sequence[str],
    validation: Sequence[str],
    output: str | Path,
    *,
    ngrams: NGram,
    normalizer: Normalizer,
    options: TrainingConfig,
    vectors: Vectors = (None, None),
    given: Given | None = None,
    **settings: Any,
) -> RecurrentLM:
    """Trains a language model on sentences that `normalizer` gave; `settings` are those of `LanguageModel`.

    With `vectors` it is conditioned on them; if they stand for values, `given` are those.

    Its tokens are those of `ngrams`, a model of the same sentences, so that their perplexities compare. The model of
    the epoch with the lowest is written to `output`; what `fit` leaves, for an interrupted call to go on when it is
    repeated, is in a folder beside it. Raises LanguageModelError if the validation text is empty.
    """
    keep_memory()
    set_seed(options.seed)
    process = processes()
    if vectors[0] is not None:
        settings["condition_size"] = vectors[0].shape[1]
    lm = RecurrentLM(ngrams.vocabulary, ngrams.units, normalizer, settings, given=given)
    lm.network.to(process.device)
    ngram = ngrams.perplexity(validation)
    task = LanguageTask(lm, training, validation, ngram=ngram, options=options, vectors=vectors)
    say(task.describe())
    out = Path(f"{output}.training")
    fit(task, options, out)
    if process.is_main_process:
        (out / MODEL_FILE).replace(output)
    process.wait_for_everyone()
    return load_recurrent(output, conditional=True)


def cut_stream(stream: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens `(n,)`, `</s>` after each sentence, as inputs and targets `(rows, ceil(n / rows))`: what follows what.

    In place of `</s>` an input is `<s>`, which no one has to predict. The last rows are filled up with NO_TARGET.
    """
    before = np.concatenate([[END], stream[:-1]])
    inputs = np.where(before == END, BEGIN, before)
    return cut(inputs, rows, BEGIN), cut(stream, rows, NO_TARGET)


def cut(stream: np.ndarray, rows: int, fill: int) -> np.ndarray:
    """A stream `(n,)` in rows `(rows, ceil(n / rows))`, the last filled up."""
    return np.pad(stream, (0, -len(stream) % rows), constant_values=fill).reshape(rows, -1)


class LanguageTask(Task[range]):
    """A recurrent language model and the text it learns, told beside the perplexity of an n-gram model of that text.

    Piece `(epoch * chunks + chunk) * rows + row` is that chunk of that row; a batch is the range of those of all rows.
    """

    criterion = "perplexity"

    def __init__(
        self,
        lm: RecurrentLM,
        training: Sequence[str],
        validation: Sequence[str],
        *,
        ngram: Perplexity,
        options: TrainingConfig,
        vectors: Vectors = (None, None),
        rows: int | None = None,
        bptt: int = BPTT,
    ) -> None:
        """`training` and `validation` are normalised sentences, `ngram` is what an n-gram model says of the latter.

        Raises LanguageModelError unless there is one of the training `vectors` for each sentence, if `lm` needs any.
        """
        self.lm = lm
        self.module = lm.network
        self.sentences = lm.encode_sentences(training)
        self.validation = validation
        self.ngram = ngram
        self.options, self.bptt = options, bptt
        self.conditions = vectors
        self.vectors = lm.condition(vectors[0], len(self.sentences))
        counts = np.bincount(np.concatenate(self.sentences))
        self.is_rare = (counts == 1) & (np.arange(len(counts)) > END)
        num_tokens = int(counts.sum())
        self.rows = rows or min(MAX_ROWS, max(1, num_tokens // MIN_LENGTH))
        self.chunks = -(-num_tokens // (self.rows * bptt))
        self.read = functools.lru_cache(1)(self._read)
        self._chunk: int | None = None  # the last to be read, and the states of all rows before and after it
        self._before: list[State] | None = None
        self._after: list[State] | None = None

    def describe(self) -> str:
        """What is about to be trained, on what."""
        settings = ", ".join(f"{name} {value}" for name, value in self.lm.settings.items())
        parameters = sum(parameter.numel() for parameter in self.module.parameters())
        return (
            f"training on {len(self.sentences)} sentences, {sum(map(len, self.sentences))} {self.lm.units} with their "
            f"ends, {len(self.lm.vocabulary)} of them different; {settings}: {parameters / 1e6:.2f} M parameters"
        )

    def plans(self) -> list[list[range]]:
        starts = range(0, self.options.epochs * self.chunks * self.rows, self.rows)
        batches = [range(start, start + self.rows) for start in starts]
        return [batches[first : first + self.chunks] for first in range(0, len(batches), self.chunks)]

    def _read(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs and targets of an epoch, as `cut_stream` gives them, and the index of the sentence of each target."""
        generator = np.random.default_rng([self.options.seed, epoch])
        order = generator.permutation(len(self.sentences))
        sentences = [self.sentences[index] for index in order]
        stream = np.concatenate(sentences).astype(np.int64)
        stream[self.is_rare[stream] & (generator.random(len(stream)) < RARE)] = UNKNOWN
        owners = np.repeat(order, [len(sentence) for sentence in sentences])
        return *cut_stream(stream, self.rows), cut(owners, self.rows, 0)

    def _pieces(self, batch: range) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Number of the chunk, rows `(B,)`; inputs, targets and their sentences `(B, bptt)`."""
        number, rows = batch.start // self.rows, np.array(batch) % self.rows
        epoch, chunk = divmod(number, self.chunks)
        columns = slice(chunk * self.bptt, (chunk + 1) * self.bptt)
        return number, rows, *(array[rows, columns] for array in self.read(epoch))  # type: ignore[return-value]

    def num_targets(self, batch: range) -> int:
        _, _, _, targets, _ = self._pieces(batch)
        return int((targets != NO_TARGET).sum())

    def load(self, batch: range) -> tuple[int, Tensor, Tensor, Tensor, Tensor | None]:
        """Number of the chunk, rows `(B,)`, inputs and targets `(B, S)`, and the vectors of those, `(B, S, C)`."""
        number, *arrays = self._pieces(batch)
        rows, inputs, targets, owners = (torch.from_numpy(array).to(self.lm.device) for array in arrays)
        return number, rows, inputs, targets, None if self.vectors is None else self.vectors[owners]

    def loss(self, model: nn.Module, data: tuple[int, Tensor, Tensor, Tensor, Tensor | None]) -> Tensor:
        """Goes on from the states in which the chunk before ended; no gradient does."""
        number, rows, inputs, targets, vectors = data
        if number != self._chunk:  # not another share of the same rows, nor the same once more in smaller parts
            self._chunk, self._before, self._after = number, self._after if number % self.chunks else None, None
        states = map_state(lambda of_all: of_all[:, rows], self._before) if self._before else None
        log_probs, states = model(inputs, states, vectors)
        if self._after is None:
            self._after = map_state(lambda s: s.new_zeros(s.shape[0], self.rows, s.shape[2]), states)
        map_state(lambda of_all, s: of_all.index_copy_(1, rows, s.detach()), self._after, states)
        return nn.functional.nll_loss(
            log_probs.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET, reduction="sum"
        )

    def state(self) -> dict[str, Any]:
        return {"states": self._after}

    def load_state(self, state: dict[str, Any]) -> None:
        self._chunk, self._before, self._after = None, None, state["states"]

    def evaluate(self) -> Row:
        found = self.lm.perplexity(self.validation, self.conditions[1])
        return {
            "validation_loss": -found.log_prob / found.tokens,
            "perplexity": found.value,
            "ngram_perplexity": self.ngram.value,
        }

    def line(self, row: Row) -> str:
        return (
            f"validation loss {row['validation_loss']:.3f}  perplexity {row['perplexity']:.2f} "
            f"(n-grams {row['ngram_perplexity']:.2f})"
        )

    def save(self, path: Path, row: Row) -> None:
        self.lm.summary = {
            "sentences": len(self.sentences),
            "tokens": sum(map(len, self.sentences)),
            "epoch": row["epoch"],
            "perplexity": round(row["perplexity"], 4),
            "ngram_perplexity": round(row["ngram_perplexity"], 4),
            "seed": self.options.seed,
            **program(),
        }
        self.lm.save(path)

    def leave_out(self, batch: range, path: Path) -> str:
        """Also forgets the states after it, which are not finite either."""
        self.load_state({"states": None})
        _, _, inputs, *_ = self._pieces(batch)
        path = path.with_suffix(".txt")
        lines = [join_tokens([self.lm.vocabulary[token] for token in row], self.lm.units) for row in inputs]
        write_whole(path, "\n".join(lines).encode())
        return str(path)

    def fingerprint(self) -> str:
        """A digest of all settings, the vocabulary, the texts, and what they are given."""
        lm = self.lm
        settings = (lm.settings, self.options, self.rows, self.bptt, lm.vocabulary, lm.given, self.validation)
        digest = hashlib.sha256(repr(settings).encode())
        digest.update(np.concatenate(self.sentences).tobytes())
        for vectors in self.conditions:
            digest.update(b"" if vectors is None else vectors.tobytes())
        return digest.hexdigest()
