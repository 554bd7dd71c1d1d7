"""Distillation: a model learns what several models say, frame by frame, with transcripts and without."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import interrupted, train_config, with_augment, without_chance
from processes import run_asr

from asr.batching import Joined
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, ManifestError
from asr.learning.distil import distillation
from asr.nn.ctc import ctc_loss, disagreement, divergence
from asr.recognition.ensemble import average
from asr.recognition.recognizer import Recognizer, load
from asr.text import Units
from asr.training.augment import stretch, warp
from asr.training.data import open_data
from asr.training.recognition import RecognitionTask
from asr.training.train import train


@pytest.fixture(scope="module")
def teachers(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Train two teachers, of other sizes than the student."""
    out = tmp_path_factory.mktemp("teachers")
    for seed in (1, 2):
        config = train_config(tones, epochs=12, seed=seed)
        config = config.model_copy(update={"model": config.model.model_copy(update={"hidden": 24})})
        train(config, out / str(seed))
    return [str(out / str(seed) / "model.safetensors") for seed in (1, 2)]


def task_of(config: Config) -> RecognitionTask:
    torch.manual_seed(0)
    return RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))


def test_divergence_is_that_of_distributions() -> None:
    generator = np.random.default_rng(0)
    one, other = (torch.from_numpy(np.log(generator.dirichlet(np.ones(4), (2, 5)))) for _ in "ab")
    lengths = torch.tensor([5, 3])
    found = divergence(one, other, lengths)
    for row, length in enumerate([5, 3]):
        p, q = one[row, :length].exp(), other[row, :length].exp()
        assert found[row].item() == pytest.approx(float((p * (p / q).log()).sum()))
    views = torch.cat([one, other])
    both = divergence(one, other, lengths) + divergence(other, one, lengths)
    torch.testing.assert_close(disagreement(views, lengths.repeat(2)), both)


def test_time_is_stretched_as_the_student_hears_it() -> None:
    generator = torch.Generator().manual_seed(0)
    features, lengths = torch.rand(3, 20, 6, generator=generator), torch.tensor([20, 13, 1])
    features *= (torch.arange(20) < lengths[:, None])[:, :, None]
    torch.manual_seed(5)
    warped, new = warp(features, lengths, bin_frequencies=torch.arange(6).float(), tempo=0.4)
    torch.testing.assert_close(stretch(features, lengths, new), warped, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stretch(features, lengths, lengths), features)


def test_the_loss_is_shared_between_texts_and_teachers(tones: Path, teachers: list[str]) -> None:
    batch = [Joined((index,)) for index in (0, 1, 2)]
    losses = []
    for share in (0.0, 0.25, 1.0):
        config = without_chance(train_config(tones, teachers=teachers, teacher_weight=share))
        task = task_of(config)
        losses.append(task.loss(task.module.train(), task.load(batch)).item())
    audio, lengths, targets, _ = task.load(batch)
    mine, frames = task.model.log_probs(audio, lengths)
    assert losses[0] == pytest.approx(ctc_loss(mine, frames, targets).sum().item(), rel=1e-4)
    models = [load(path, "cpu") for path in teachers]
    expected = 0.0
    for row in range(len(batch)):
        alone = [
            model.log_probs(audio[row : row + 1, : lengths[row]], lengths[row : row + 1])[0][0] for model in models
        ]
        given = torch.from_numpy(average([one.numpy() for one in alone]))
        own = mine[row, : len(given)]
        expected += float((given.exp() * (given - own)).sum())
    assert losses[2] == pytest.approx(expected, rel=1e-3)
    assert losses[1] == pytest.approx(0.75 * losses[0] + 0.25 * losses[2], rel=1e-4)
    plain = task_of(without_chance(train_config(tones)))
    assert losses[0] == pytest.approx(plain.loss(plain.module.train(), plain.load(batch)).item(), rel=1e-6)


def test_two_views_have_one_teacher(tones: Path, teachers: list[str]) -> None:
    batch = [Joined((index,)) for index in (0, 1, 2)]
    losses = []
    for consistency in (0.0, 0.2):
        task = task_of(without_chance(train_config(tones, teachers=teachers, consistency=consistency)))
        losses.append(task.loss(task.module.train(), task.load(batch)).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_student_learns_from_teachers_alone(tones: Path, teachers: list[str], tmp_path: Path) -> None:
    """Training texts have weight 0 here, and the validation texts only measure."""
    student = train(train_config(tones, teachers=teachers, teacher_weight=1.0), tmp_path / "run")
    assert max(load(path, "cpu").summary["validation_cer"] for path in teachers) < 10
    assert student.summary["validation_cer"] < 10


def test_a_killed_run_gives_equal_bytes(
    tones: Path, teachers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_augment(train_config(tones, epochs=2, teachers=teachers), join=0.5)
    train(config, tmp_path / "whole")
    with interrupted(monkeypatch, after=1):
        train(config, tmp_path / "cut")
    train(config, tmp_path / "cut")
    whole, cut = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_other_teachers_are_another_run(tones: Path, teachers: list[str]) -> None:
    configs = [train_config(tones, teachers=names) for names in (teachers, teachers[:1])]
    both = [task_of(config) for config in configs]
    assert both[0].fingerprint() != both[1].fingerprint()
    alone = task_of(configs[0].model_copy())
    assert alone.fingerprint() == both[0].fingerprint()


def test_teachers_of_other_units_or_frames_are_refused(tones: Path, teachers: list[str], tmp_path: Path) -> None:
    config = train_config(tones, teachers=teachers)
    coarse = config.model_copy(update={"model": config.model.model_copy(update={"subsampling": 4})})
    with pytest.raises(ConfigError, match="samples per encoder frame, 320 and 160"):
        task_of(coarse)
    joint = config.model_copy(update={"model": config.model.model_copy(update={"decoder": "joint"})})
    with pytest.raises(ConfigError, match="the model to train: cannot be a teacher and its student"):
        task_of(joint)
    for name in ("train", "validation"):
        utterances = [replace(u, text=(u.text or "").replace("c", "d")) for u in read_manifest(tones / f"{name}.jsonl")]
        write_manifest(tmp_path / f"{name}.jsonl", utterances)
    with pytest.raises(ConfigError, match="the second one lacks 'd' and the first one lacks 'c'"):
        task_of(train_config(tmp_path, teachers=teachers))


@pytest.fixture
def weighted(tones: Path, tmp_path: Path) -> Iterator[Config]:
    """Give training utterances weights: 0, 0.5, none, and a wrong one."""
    utterances = read_manifest(tones / "train.jsonl")
    values: list[object] = [0, 0.5, None, "half", 1.5, [1]]
    for index, value in enumerate(values):
        if value is not None:
            utterances[index] = replace(utterances[index], extra={"sure": value})
    write_manifest(tmp_path / "train.jsonl", utterances)
    write_manifest(tmp_path / "validation.jsonl", read_manifest(tones / "validation.jsonl"))
    config = without_chance(train_config(tmp_path))
    yield config.model_copy(update={"data": config.data.model_copy(update={"weight_field": "sure"})})


def test_a_weight_scales_the_loss_of_its_text(weighted: Config) -> None:
    task, plain = (
        task_of(weighted),
        task_of(weighted.model_copy(update={"data": weighted.data.model_copy(update={"weight_field": None})})),
    )

    def loss(of: RecognitionTask, *parts: int) -> float:
        return of.loss(of.module.train(), of.load([Joined(parts)])).item()

    assert loss(task, 0) == 0 and loss(task, 1) == pytest.approx(loss(plain, 1) / 2)
    assert loss(task, 2) == loss(plain, 2)
    sizes = [len(task.encoded(index)) for index in range(3)]
    joined = task.load([Joined((0, 1, 2))]).weights.item()
    assert joined == pytest.approx((0.5 * sizes[1] + sizes[2]) / sum(sizes))
    for index, value in ((3, "'half'"), (4, "1.5"), (5, r"\[1\]")):
        with pytest.raises(ManifestError, match=f"train-{index}: sure is {value}, not a weight from 0 to 1"):
            task.load([Joined((index,))])


def test_the_command_trains_a_student_of_the_first_teacher(teachers: list[str], tmp_path: Path) -> None:
    out = tmp_path / "student"
    found = run_asr(
        "distil", Path(teachers[0]).parent, teachers[1], "-o", out, "--set", "training.epochs=2", "--seed", 7
    )
    assert found.returncode == 0, found.stderr
    config = Config.load(out / "config.yaml")
    assert config.training.teachers == tuple(teachers) and config.training.teacher_weight == 0.5
    assert (config.training.epochs, config.training.seed, config.model.hidden) == (2, 7, 24)
    assert "next: asr transcribe" in found.stderr and load(out / "model.safetensors").summary["epoch"] <= 2
    again = run_asr("distil", *teachers, "-o", out)
    assert again.returncode == 1 and "is the model of a finished run" in again.stderr
    wrong = run_asr("distil", *teachers, "-o", tmp_path / "x", "--set", "training.epochs=none")
    assert wrong.returncode == 1 and "--set training.epochs=none" in wrong.stderr
    missing = run_asr("distil", tmp_path / "none.safetensors", "-o", tmp_path / "x")
    assert missing.returncode == 1 and "no such model file" in missing.stderr


def test_recordings_without_texts_are_learned_too(tones: Path, teachers: list[str], tmp_path: Path) -> None:
    more = [replace(one, text=None) for one in read_manifest(tones / "train.jsonl")[64:]]
    write_manifest(tmp_path / "more.jsonl", more)
    write_manifest(tmp_path / "train.jsonl", read_manifest(tones / "train.jsonl")[:64])
    base = train_config(tones, epochs=1)
    data = base.data.model_copy(update={"train": (str(tmp_path / "train.jsonl"),)})
    (tmp_path / "config.yaml").write_text(base.model_copy(update={"data": data}).to_yaml())
    out = tmp_path / "student"
    options = ["--config", tmp_path, "--untranscribed", tmp_path / "more.jsonl"]
    found = run_asr("distil", *teachers, "-o", out, *options)
    assert found.returncode == 0, found.stderr
    taken = read_manifest(out / "pseudo.jsonl")
    assert 20 <= len(taken) <= len(more) and f"pseudo transcripts: {len(taken)} taken" in found.stderr
    assert load(out / "model.safetensors").summary["training_utterances"] == 64 + len(taken)
    assert Config.load(out / "config.yaml").data.weight_field == "weight"


def test_a_teacher_with_another_decoder_is_named(tones: Path, tmp_path: Path) -> None:
    config = train_config(tones)
    for decoder in ("transducer", "joint"):
        model = config.model.model_copy(update={"decoder": decoder})
        path = tmp_path / f"{decoder}.safetensors"
        Recognizer(config.model_copy(update={"model": model}), Units("abc")).save(path)
        with pytest.raises(
            ConfigError, match=f"{decoder}.safetensors: has model.decoder {decoder}, and a teacher must"
        ):
            distillation([path])
