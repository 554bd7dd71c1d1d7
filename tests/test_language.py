"""Training of language models: streams and chunks, equal bytes after interruptions, and the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from typer.testing import CliRunner

from asr.cli import app
from asr.config import TrainingConfig
from asr.errors import LanguageModelError
from asr.lm.base import Given
from asr.lm.estimate import estimate
from asr.lm.ngram import BEGIN, END, UNKNOWN
from asr.lm.recurrent import RecurrentLM, load_recurrent
from asr.text import Normalizer
from asr.training.language import NO_TARGET, LanguageTask, Vectors, cut_stream, train
from asr.training.loop import fit

TEXTS = [f"{a} sees {b}" for a in ("ann", "bo", "cy") for b in ("a cat", "the dog", "dee", "it all")] + ["ün"]
VALIDATION = ["ann sees the cat", "dee sees ann"]


VECTORS = np.random.default_rng(1).normal(size=(len(TEXTS), 2)), np.ones((len(VALIDATION), 2))


def task(
    *,
    epochs: int = 3,
    rows: int = 4,
    bptt: int = 7,
    dropout: float = 0.2,
    vectors: Vectors = (None, None),
    **training: Any,
) -> LanguageTask:
    ngrams = estimate(TEXTS, units="characters").model
    torch.manual_seed(0)
    settings = {"cell": "lstm", "hidden": 12, "layers": 2, "dropout": dropout}
    if vectors[0] is not None:
        settings["condition_size"] = vectors[0].shape[1]
    lm = RecurrentLM(ngrams.vocabulary, "characters", Normalizer(), settings)
    options = TrainingConfig(epochs=epochs, learning_rate=1e-2, **training)
    found = ngrams.perplexity(VALIDATION)
    return LanguageTask(lm, TEXTS, VALIDATION, ngram=found, options=options, vectors=vectors, rows=rows, bptt=bptt)


@given(st.lists(st.lists(st.integers(3, 9), max_size=6), min_size=1, max_size=9), st.integers(1, 7))
def test_rows_side_by_side_hold_the_stream(sentences: list[list[int]], rows: int) -> None:
    stream = np.concatenate([[*sentence, END] for sentence in sentences])
    inputs, targets = cut_stream(stream, rows)
    assert inputs.shape == targets.shape == (rows, -(-len(stream) // rows))
    targets, inputs = targets.flatten(), inputs.flatten()
    assert targets[: len(stream)].tolist() == stream.tolist()
    assert (targets[len(stream) :] == NO_TARGET).all()
    expected = [token for sentence in sentences for token in (BEGIN, *sentence)]
    assert inputs[: len(stream)].tolist() == expected


def test_an_epoch_predicts_each_token_once_in_an_order_of_its_own() -> None:
    made = task()
    plans = made.plans()
    read = []
    for plan in plans:
        numbers, rows, _, targets, _ = zip(*map(made.load, plan), strict=True)
        assert [number % made.chunks for number in numbers] == list(range(made.chunks))
        assert all(row.tolist() == [0, 1, 2, 3] for row in rows)
        stream = torch.cat(targets, dim=1).flatten()
        read.append(stream[stream != NO_TARGET])
    total = sum(len(text) + 1 for text in TEXTS)
    assert [sum(map(made.num_targets, plan)) for plan in plans] == [total] * 3 == list(map(len, read))
    rare = made.lm.index["ü"]
    for stream in read:  # the letter seen once is `<unk>` or itself, all others are what they were
        counts = np.bincount(stream, minlength=len(made.lm.vocabulary))
        expected = np.bincount(np.concatenate(made.sentences), minlength=len(made.lm.vocabulary))
        assert counts[UNKNOWN] + counts[rare] == 1
        counts[[UNKNOWN, rare]] = expected[[UNKNOWN, rare]]
        assert counts.tolist() == expected.tolist()
    assert not torch.equal(read[0], read[1])
    assert torch.equal(torch.cat(read), torch.cat([t[t != NO_TARGET] for t in _all_targets(task())]))


def _all_targets(made: LanguageTask) -> Iterator[Tensor]:
    for plan in made.plans():
        yield torch.cat([made.load(batch)[3] for batch in plan], dim=1).flatten()


def test_the_state_crosses_borders_of_chunks_and_gradients_do_not() -> None:
    """Chunk by chunk, the losses are those of whole rows; what only an earlier chunk holds gets no gradient."""
    made = task(dropout=0.0)
    plan = made.plans()[0]
    losses = [made.loss(made.module, made.load(batch)) for batch in plan]
    inputs, targets, _ = map(torch.from_numpy, made.read(0))
    log_probs, _ = made.module(inputs)
    whole = nn.functional.nll_loss(log_probs.flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=NO_TARGET)
    assert sum(losses).item() == pytest.approx(whole.item(), rel=1e-5)  # type: ignore[union-attr]
    (gradient,) = torch.autograd.grad(losses[2], made.module.embedding.weight)
    touched = set(gradient.abs().sum(1).nonzero().flatten().tolist())
    assert touched == set(inputs[:, 14:21].flatten().tolist()) != set(inputs[:, :21].flatten().tolist())


def test_every_token_has_the_vector_of_its_sentence() -> None:
    made = task(vectors=VECTORS)
    owners = {}
    for plan in made.plans():
        *_, targets, vectors = zip(*map(made.load, plan), strict=True)
        stream, given = torch.cat(targets, dim=1).flatten(), torch.cat(vectors, dim=1).flatten(0, 1)
        ends = (stream == END).nonzero().flatten().tolist()
        for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False):
            (vector,) = given[start : end + 1].unique(dim=0)  # one for the whole sentence
            text = "".join(made.lm.vocabulary[token] for token in stream[start:end]).replace("<space>", " ")
            owners.setdefault(text.replace("<unk>", "ü"), set()).add(tuple(vector.tolist()))
    assert owners == {t: {tuple(v)} for t, v in zip(TEXTS, VECTORS[0].astype(np.float32).tolist(), strict=True)}


def test_a_share_of_the_sentences_is_read_without_its_value() -> None:
    """Which sentences, is drawn anew in each epoch, from the seed alone; whole sentences are without it."""
    dialect = Given("dialect", ("a", "b"), dropped=0.3)
    values = ["a", "b"] * 300
    texts = [f"{'ab' if value == 'a' else 'ba'} bab" for value in values]
    ngrams, vectors = estimate(texts, units="characters").model, (dialect.vectors(values), dialect.vectors(["a"]))
    lm = RecurrentLM(ngrams.vocabulary, "characters", Normalizer(), {"hidden": 4, "condition_size": 2}, {}, dialect)
    found, options = ngrams.perplexity(["ab"]), TrainingConfig(epochs=2)
    made, again = (
        LanguageTask(lm, texts, ["ab"], ngram=found, options=options, vectors=vectors, rows=1) for _ in range(2)
    )
    shares = []
    for epoch in range(2):
        _, targets, rows = made.read(epoch)
        np.testing.assert_array_equal(rows, again.read(epoch)[2])
        owners = rows[0][targets[0] == END]
        lengths = np.diff(np.flatnonzero(targets[0] == END), prepend=-1)
        np.testing.assert_array_equal(np.repeat(owners, lengths), rows[0][: lengths.sum()])
        is_absent = owners == len(texts)
        assert 0.2 < is_absent.mean() < 0.4
        shares.append(set(range(len(texts))) - set(owners[~is_absent].tolist()))
    assert shares[0] != shares[1]
    assert made.vectors is not None and not made.vectors[len(texts)].any()


def test_a_checkpoint_is_of_the_same_vectors() -> None:
    plain, one, again = (task(vectors=vectors).fingerprint() for vectors in ((None, None), VECTORS, VECTORS))
    other = task(vectors=(VECTORS[0][::-1], VECTORS[1])).fingerprint()
    assert one == again and len({plain, one, other}) == 3


def test_the_condition_gets_a_gradient_and_one_vector_for_each_sentence() -> None:
    made = task(vectors=VECTORS)
    loss = made.loss(made.module, made.load(made.plans()[0][0]))
    (gradient,) = torch.autograd.grad(loss, made.module.condition.weight)
    assert gradient.abs().min() > 0
    with pytest.raises(LanguageModelError, match=rf"for {len(TEXTS)} sentences .* given \({len(TEXTS) - 1}, 2\)"):
        task(vectors=(VECTORS[0][1:], VECTORS[1]))


@pytest.mark.parametrize("vectors", [(None, None), VECTORS], ids=["plain", "conditional"])
def test_shares_of_a_batch_and_second_attempts_change_nothing(vectors: Vectors) -> None:
    whole, parts = task(dropout=0.0, vectors=vectors), task(dropout=0.0, vectors=vectors)
    for batch in whole.plans()[0]:
        loss = whole.loss(whole.module, whole.load(batch))
        parts.loss(parts.module, parts.load(batch))  # runs out of memory, say
        shares = [parts.loss(parts.module, parts.load(parts.split(batch, part, 3))) for part in range(3)]
        assert sum(shares).item() == pytest.approx(loss.item(), rel=1e-5)  # type: ignore[union-attr]
        torch.testing.assert_close(parts.state(), whole.state())


def test_long_texts_have_more_rows() -> None:
    made = task()
    for repeats, rows in ((1, 1), (200, 5), (2_000, 32)):
        chosen = LanguageTask(made.lm, TEXTS * repeats, VALIDATION, ngram=made.ngram, options=made.options)
        assert chosen.rows == rows


def test_a_batch_that_is_not_finite_leaves_no_state(tmp_path: Path) -> None:
    made = task()
    plan = made.plans()[0]
    made.loss(made.module, made.load(plan[0]))
    assert made.leave_out(plan[0], tmp_path / "left") == str(tmp_path / "left.txt")
    assert len((tmp_path / "left.txt").read_text().splitlines()) == made.rows
    fresh = task()
    torch.manual_seed(1)
    after = made.loss(made.module, made.load(plan[1]))
    torch.manual_seed(1)
    assert torch.equal(after, fresh.loss(fresh.module, fresh.load(plan[1])))


class Interrupted(LanguageTask):
    """Stops in the middle of an epoch, after a checkpoint."""

    left = 9

    def loss(self, model: nn.Module, data: Any) -> Tensor:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return super().loss(model, data)


@pytest.mark.parametrize("vectors", [(None, None), VECTORS], ids=["plain", "conditional"])
def test_an_interrupted_run_ends_with_the_same_bytes(vectors: Vectors, tmp_path: Path) -> None:
    """The checkpoint holds the recurrent state: a chunk in the middle of the rows goes on from it."""

    def run(out: str, *, interrupted: bool = False) -> None:
        made = task(epochs=2, vectors=vectors, checkpoint_minutes=5.0 if out == "whole" else 1e-9)
        assert 9 % made.chunks > 1
        if interrupted:
            made.__class__ = Interrupted
        torch.manual_seed(0)
        fit(made, made.options, tmp_path / out)

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", interrupted=True)
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    run("stopped")
    assert (tmp_path / "stopped/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


@pytest.mark.parametrize("units", ["characters", "words"])
def test_it_learns(units: str, tmp_path: Path) -> None:
    ngrams = estimate(TEXTS * 4, units=units).model  # type: ignore[arg-type]
    options = TrainingConfig(epochs=12, learning_rate=2e-2, warmup=0.05)
    settings = {"cell": "gru", "hidden": 24, "layers": 1, "dropout": 0.0}
    output = tmp_path / "lm"
    lm = train(TEXTS * 4, TEXTS, output, ngrams=ngrams, normalizer=Normalizer(), options=options, **settings)
    assert lm.perplexity(TEXTS).value < 2.2
    assert lm.summary["perplexity"] == round(lm.perplexity(TEXTS).value, 4)
    assert lm.generate(length=60, temperature=0).splitlines()[0] in TEXTS


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(TEXTS).upper())
    (tmp_path / "held-out.txt").write_text("\n".join(VALIDATION))
    (tmp_path / "empty.txt").write_text("")
    text, held_out, output = (str(tmp_path / name) for name in ("text.txt", "held-out.txt", "lm.safetensors"))

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["lm", *arguments])

    small = ["--hidden", "8", "--epochs", "2", "--cell", "rnn_tanh", "--layers", "2", "--lower", "--dropout", "0"]
    done = run("train-rnn", text, "--validation", held_out, "-o", output, *small)
    assert done.exit_code == 0, done.output
    recurrent, ngrams = done.stdout.splitlines()
    assert recurrent == f"recurrent: {load_recurrent(output).perplexity(VALIDATION)}"
    assert (
        ngrams == f"n-grams:   {estimate([t.lower() for t in TEXTS], units='characters').model.perplexity(VALIDATION)}"
    )
    done = run("generate", output, "--prompt", "BO", "--length", "5", "--temperature", "0.5", "--seed", "3")
    assert done.stdout == load_recurrent(output).generate("bo", length=5, temperature=0.5, seed=3) + "\n"
    assert run(text, "-o", str(tmp_path / "lm.arpa")).exit_code == 0
    for arguments, said in (
        (["generate", output, "--prompt", "b2"], "does not know '2'"),
        (["generate", text], "no safetensors file"),
        (["train-rnn", text, "--validation", str(tmp_path / "empty.txt"), "-o", output], "no text to compute"),
        (["train-rnn", str(tmp_path / "empty.txt"), "--validation", text, "-o", output], "the text is empty"),
    ):
        assert said in str(run(*arguments).exception)


def write_dialects(path: Path, *texts: tuple[str, str | None]) -> str:
    rows = [{"audio_filepath": f"{i}.wav", "text": text, "dialect": value} for i, (text, value) in enumerate(texts)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_two_dialects_on_the_command_line(tmp_path: Path) -> None:
    """Generated and likely texts are in the requested dialect."""
    dialects = [("ab ab", "east"), ("cd cd", "west")]
    training = write_dialects(tmp_path / "t.jsonl", *dialects * 40)
    validation = write_dialects(tmp_path / "v.jsonl", *dialects)
    output = str(tmp_path / "lm.safetensors")

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["lm", *arguments])

    small = ["--hidden", "12", "--epochs", "15", "--dropout", "0", "--learning-rate", "0.04"]
    done = run("train-rnn", training, "--validation", validation, "-o", output, "--given", "dialect", *small)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["recurrent", "without dialect", "with another dialect", "n-grams"]
    right, without, wrong, ngrams = (float(line.split("perplexity ")[1].split()[0]) for line in lines)
    assert right < 1.1 < min(without, ngrams) and max(without, ngrams, 3) < wrong
    for text, dialect in dialects:
        done = run("generate", output, "--given", dialect, "--length", "29", "--temperature", "0.5")
        assert done.stdout == "\n".join([text] * 5) + "\n"
    done = run("generate", output, "--given", "west", "--length", "2", "--prompt", "cd c", "--temperature", "0")
    assert done.stdout == "cd cd\n\n"

    without = run("generate", output, "--length", "29", "--temperature", "0.5").stdout
    assert set(without.split("\n")) <= {"", *(text for text, _ in dialects)}

    missing = write_dialects(tmp_path / "m.jsonl", *dialects, ("ab", None))
    unseen = write_dialects(tmp_path / "u.jsonl", ("ab", "north"))
    to_train = ["--validation", validation, "-o", output, "--given"]
    for arguments, said in (
        (["generate", output, "--given", "north"], "no dialect 'north'; its training text has east, west"),
        (["train-rnn", missing, *to_train, "dialect"], "m.jsonl:3: 2.wav has no dialect; add it or remove the line"),
        (["train-rnn", training, *to_train, "village"], "t.jsonl:1: 0.wav has no village"),
        (["train-rnn", training, *to_train, "audio_filepath"], "has 80 different values in 80 sentences"),
        (["train-rnn", training, *to_train, "dialect", "--validation", unseen], "no dialect 'north'; its training"),
    ):
        assert said in str(run(*arguments).exception)
