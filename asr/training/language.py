"""The task of training a recurrent language model by truncated backpropagation through time.

The sentences of an epoch, in random order, form one stream of tokens. The stream is cut into rows, which are read in
parallel, in chunks of `bptt` tokens. A chunk begins in the final state of the previous chunk, but gradients stop at the
border: the model uses the earlier text, and computing time does not grow (Williams and Peng 1990; Mikolov et al. 2010).
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
from asr.lm.base import Given
from asr.lm.ngram import BEGIN, END, UNKNOWN, NGram, Perplexity, join_tokens
from asr.lm.recurrent import RecurrentLM, load_recurrent
from asr.nn.rnn import State, map_state
from asr.run_log import Row
from asr.text import Normalizer
from asr.training.build import program
from asr.training.folder import claimed, settle
from asr.training.hardware import in_main_process, keep_memory, processes, steady_numbers
from asr.training.loop import MODEL_FILE, checkpoints_of, fit
from asr.training.task import Task
from asr.training.watch import say

NO_TARGET = -100  # target beyond the end of the stream
BPTT = 64  # tokens in a chunk: gradients go back at most so far
MAX_ROWS = 32
MIN_LENGTH = 7000  # tokens in a row; a short text has fewer rows, because the model needs many steps
RARE = 0.5  # share of the tokens seen once that an epoch replaces with `<unk>`, so that the model learns `<unk>`
_CHOICES = "--overwrite starts over, -o names another file"

Vectors = tuple[np.ndarray, np.ndarray] | tuple[None, None]  # (n, C) for training and for validation sentences


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
    overwrite: bool = False,
    **settings: Any,
) -> RecurrentLM:
    """Train a language model on normalised sentences, write it to `output`, and return it.

    The model of the epoch with the lowest validation perplexity is written. Its tokens are the tokens of `ngrams`, an
    n-gram model of the same sentences, so that the perplexities of both models are comparable. `settings` are the
    arguments of `LanguageModel`. With `vectors`, the model is conditioned on them; `given` names the values that the
    vectors stand for, and how many sentences are read without their value.

    If training was interrupted, repeat the call: it resumes from the checkpoint in the folder `output`.training. Raises
    LanguageModelError if the validation text is empty, and TrainingError if another training uses that folder, or if
    the folder holds an unfinished run with other settings or texts and `overwrite` is not set.
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
    with claimed(out):
        checkpoints = checkpoints_of(task, options, out)
        in_main_process(lambda: settle(checkpoints, overwrite=overwrite, choices=_CHOICES))
        fit(task, options, out)
        if process.is_main_process:
            (out / MODEL_FILE).replace(output)
    process.wait_for_everyone()
    return load_recurrent(output, conditional=True)


def cut_stream(stream: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a stream of tokens `(n,)`, `</s>` after each sentence, into inputs and targets `(rows, ceil(n / rows))`.

    The target of each input is the next token. Inputs have `<s>` in place of `</s>`; `<s>` is never a target. The last
    rows are filled with `<s>` and NO_TARGET.
    """
    before = np.concatenate([[END], stream[:-1]])
    inputs = np.where(before == END, BEGIN, before)
    return cut(inputs, rows, BEGIN), cut(stream, rows, NO_TARGET)


def cut(stream: np.ndarray, rows: int, fill: int) -> np.ndarray:
    """Cut a stream `(n,)` into rows `(rows, ceil(n / rows))`; the last row is filled with `fill`."""
    return np.pad(stream, (0, -len(stream) % rows), constant_values=fill).reshape(rows, -1)


class LanguageTask(Task[range]):
    """Training of a recurrent language model, beside the perplexity of an n-gram model of the same text.

    The number `(epoch * chunks + chunk) * rows + row` identifies a piece: one chunk of one row in one epoch. A batch is
    the range of the pieces of all rows in a chunk.
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
        """Prepare training on normalised sentences.

        `ngram` is the perplexity of an n-gram model on the validation sentences. If `lm` is conditioned, `vectors` hold
        one vector for each sentence; otherwise LanguageModelError is raised.
        """
        self.lm = lm
        self.module = lm.network
        self.sentences = lm.encode_sentences(training)
        self.validation = validation
        self.ngram = ngram
        self.options, self.bptt = options, bptt
        self.conditions = vectors
        self.vectors = lm.condition(vectors[0], len(self.sentences))
        if self.vectors is not None:  # a row more, of zeros, for sentences without a value
            self.vectors = nn.functional.pad(self.vectors, (0, 0, 0, 1))
        self.dropped = lm.given.dropped if lm.given is not None else 0.0
        counts = np.bincount(np.concatenate(self.sentences))
        self.is_rare = (counts == 1) & (np.arange(len(counts)) > END)
        num_tokens = int(counts.sum())
        self.rows = rows or min(MAX_ROWS, max(1, num_tokens // MIN_LENGTH))
        self.chunks = -(-num_tokens // (self.rows * bptt))
        self.read = functools.lru_cache(1)(self._read)
        self._chunk: int | None = None  # number of the current chunk; then the states of all rows before and after it
        self._before: list[State] | None = None
        self._after: list[State] | None = None

    def describe(self) -> str:
        """Describe data and model in one line."""
        settings = ", ".join(f"{name} {value}" for name, value in self.lm.settings.items())
        parameters = sum(parameter.numel() for parameter in self.module.parameters())
        return (
            f"training on {len(self.sentences)} sentences, {sum(map(len, self.sentences))} {self.lm.units} with "
            f"ends, vocabulary {len(self.lm.vocabulary)}; {settings}: {parameters / 1e6:.2f} M parameters"
        )

    def plans(self, epochs: int | None = None) -> list[list[range]]:
        starts = range(0, (epochs or self.options.epochs) * self.chunks * self.rows, self.rows)
        batches = [range(start, start + self.rows) for start in starts]
        return [batches[first : first + self.chunks] for first in range(0, len(batches), self.chunks)]

    def _read(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return inputs and targets of an epoch from `cut_stream`, and the row of `vectors` of each target."""
        generator = np.random.default_rng([self.options.seed, epoch])
        order = generator.permutation(len(self.sentences))
        sentences = [self.sentences[index] for index in order]
        stream = np.concatenate(sentences).astype(np.int64)
        stream[self.is_rare[stream] & (generator.random(len(stream)) < RARE)] = UNKNOWN
        owner = np.where(generator.random(len(order)) < self.dropped, len(order), order)
        owners = np.repeat(owner, [len(sentence) for sentence in sentences])
        return *cut_stream(stream, self.rows), cut(owners, self.rows, 0)

    def _pieces(self, batch: range) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the number of the chunk, rows `(B,)`, and inputs, targets and rows of vectors, `(B, bptt)` each."""
        number, rows = batch.start // self.rows, np.array(batch) % self.rows
        epoch, chunk = divmod(number, self.chunks)
        columns = slice(chunk * self.bptt, (chunk + 1) * self.bptt)
        return number, rows, *(array[rows, columns] for array in self.read(epoch))  # type: ignore[return-value]

    def num_targets(self, batch: range) -> int:
        _, _, _, targets, _ = self._pieces(batch)
        return int((targets != NO_TARGET).sum())

    def load(self, batch: range) -> tuple[int, Tensor, Tensor, Tensor, Tensor | None]:
        """Load the number of the chunk, rows `(B,)`, inputs and targets `(B, S)`, and vectors `(B, S, C)` or None."""
        number, *arrays = self._pieces(batch)
        rows, inputs, targets, owners = (torch.from_numpy(array).to(self.lm.device) for array in arrays)
        return number, rows, inputs, targets, None if self.vectors is None else self.vectors[owners]

    def loss(self, model: nn.Module, data: tuple[int, Tensor, Tensor, Tensor, Tensor | None]) -> Tensor:
        """Compute the loss of a chunk; it begins in the final states of the previous chunk, without gradients."""
        number, rows, inputs, targets, vectors = data
        if number != self._chunk:  # a new chunk; not another share of this chunk, nor a second attempt in parts
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
        return f"validation perplexity {row['perplexity']:.5g} (n-gram model {row['ngram_perplexity']:.5g})"

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
        """Save a batch, as in `Task`, and discard the states after it, because they are not finite either."""
        self.load_state({"states": None})
        _, _, inputs, *_ = self._pieces(batch)
        path = path.with_suffix(".txt")
        lines = [join_tokens([self.lm.vocabulary[token] for token in row], self.lm.units) for row in inputs]
        write_whole(path, "\n".join(lines).encode())
        return str(path)

    def fingerprint(self) -> str:
        """Return a digest of settings, vocabulary, texts and vectors."""
        lm = self.lm
        settings = (lm.settings, self.options, self.rows, self.bptt, lm.vocabulary, lm.given, self.validation)
        digest = hashlib.sha256(repr(settings).encode())
        digest.update(np.concatenate(self.sentences).tobytes())
        for vectors in self.conditions:
            digest.update(b"" if vectors is None else vectors.tobytes())
        return digest.hexdigest()
