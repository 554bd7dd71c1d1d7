"""The loop on small corpora made here: it learns, repeats itself, and names what it leaves out."""

import json
import math
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import RATE, run_asr, train_config, with_augment, without_chance
from torch.nn.utils import parameters_to_vector

import asr
from asr.config import Config, TextConfig
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, TextError, TrainingError
from asr.lengths import required_frames
from asr.text import Units
from asr.training.data import open_data
from asr.training.hardware import use_bf16
from asr.training.recognition import RecognitionTask
from asr.training.schedule import warmup_cosine
from asr.training.speech import few_sizes
from asr.training.train import train


def test_learns_and_leaves_its_results(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = train_config(tones)
    recognizer = train(config, tmp_path)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(log) == 12 and log[-1]["train_loss"] < log[0]["train_loss"] / 3
    assert min(row["cer"] for row in log) < 5
    assert (tmp_path / "training.png").stat().st_size > 10_000
    page = (tmp_path / "training.html").read_text()
    assert "epoch 12 of 12, done" in page and "http-equiv" not in page and page.count("<img") == 3
    assert page.count("<tr>") == 13 and log[-1]["samples"][0][0] in page
    assert Config.load(tmp_path / "config.yaml") == config
    assert "kept epoch" in capsys.readouterr().err

    # The score in the log is what the model file gives when it transcribes the files anew, digit for digit.
    best = min(log, key=lambda row: (row["cer"], -row["epoch"]))
    validation = read_manifest(tones / "validation.jsonl")
    loaded = asr.load(tmp_path / "model.safetensors")
    texts = [loaded.transcribe(utterance.audio).text for utterance in validation]
    result = asr.score([utterance.text or "" for utterance in validation], texts)
    assert (result.cer.percent, result.wer.percent) == (best["cer"], best["wer"])
    assert recognizer.summary["epoch"] == best["epoch"]


def test_same_seed_same_bytes(tones: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(train_config(tones, epochs=2, seed=seed), tmp_path / name)
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_bf16_learns_too(tones: Path, tmp_path: Path) -> None:
    recognizer = train(train_config(tones, epochs=14, precision="bf16"), tmp_path)
    assert recognizer.summary["validation_cer"] < 40


@pytest.mark.filterwarnings("ignore:Data has no positive values")  # norms of the gradient
def test_weight_decay_shrinks_what_the_loss_does_not_hold(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RecognitionTask.loss
    monkeypatch.setattr(RecognitionTask, "loss", lambda *arguments: 0 * real(*arguments))
    settings: dict[str, Any] = {"epochs": 2, "batch_utterances": 8, "warmup": 0.0}
    first = train(train_config(tones, **settings, weight_decay=0), tmp_path / "first").acoustic_model.state_dict()
    last = train(train_config(tones, **settings, weight_decay=0.5), tmp_path / "last").acoustic_model.state_dict()
    steps = json.loads((tmp_path / "last" / "log.jsonl").read_text().splitlines()[-1])["step"]
    left = math.prod(1 - 0.5 * 1e-2 * warmup_cosine(step, total=steps, warmup=0.0) for step in range(steps))
    assert left < 0.95
    for name, weights in first.items():
        torch.testing.assert_close(last[name], left * weights, msg=name)


def test_early_stopping(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(train_config(tones, epochs=30, patience=2, learning_rate=1e-9), tmp_path)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) < 30
    assert "stopped early, after epoch" in capsys.readouterr().err


def test_what_cannot_be_trained_on_is_named_and_left_out(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    (tmp_path / "broken.wav").write_text("no recording")
    utterances[0] = replace(utterances[0], audio=tmp_path / "broken.wav")
    utterances[1] = replace(utterances[1], audio=tmp_path / "missing.wav")
    utterances[2] = replace(utterances[2], text="abca" * 40)
    write_manifest(tmp_path / "train.jsonl", utterances)
    validation = read_manifest(tones / "validation.jsonl")
    validation[0] = replace(validation[0], text="abx")
    write_manifest(tmp_path / "validation.jsonl", validation)
    with pytest.raises(TrainingError, match="strict"):
        train(train_config(tmp_path, epochs=1), tmp_path / "run", strict=True)
    assert "infeasible for CTC" in capsys.readouterr().err  # refused, with the reasons
    train(train_config(tmp_path, epochs=1), tmp_path / "run")
    said = capsys.readouterr().err
    assert (
        "left out 1 utterances, unreadable" in said
        and "broken.wav (" in said
        and "train.jsonl:1): is not a recording" in said
    )
    assert "left out 1 utterances, missing audio" in said and "train.jsonl:2): no such file" in said
    assert "left out 1 utterances, infeasible for CTC" in said
    assert "train.jsonl:3): 160 units + 39 repeats need 199 frames, the audio gives" in said
    assert "training on 93 utterances" in said
    assert "'x' (U+0078, LATIN SMALL LETTER X) 1 times" in said


def test_nfc_and_nfd_copies_give_the_same_model(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever form text and units file come in: every byte is the same, but not with other units."""
    spelt = str.maketrans({"a": "é", "b": "ɛ\u0301 ", "c": "o\u0323\u0301"})
    settings = {form: train_config(Path(), epochs=1, precision="fp32") for form in ("NFC", "NFD", "graphemes")}
    for form, setting in settings.items():
        (tmp_path / form).mkdir()
        monkeypatch.chdir(tmp_path / form)
        normal = "NFD" if form == "NFD" else "NFC"
        for name in ("train", "validation"):
            utterances = read_manifest(tones / f"{name}.jsonl")[:16]
            texts = (unicodedata.normalize(normal, (u.text or "").translate(spelt)) for u in utterances)
            write_manifest(f"{name}.jsonl", [replace(u, text=text) for u, text in zip(utterances, texts, strict=True)])
        units = ["é", "ɛ\u0301", "\u1ecd\u0301"]
        Path("units.txt").write_text(unicodedata.normalize(normal, "\n".join(units)), encoding="utf-8")
        text = {"units": "graphemes"} if form == "graphemes" else {"units_file": "units.txt"}
        setting = Config.model_validate({**setting.model_dump(), "text": text})
        assert train(setting, "run").units.symbols == (" ", *(units if form != "graphemes" else sorted(units)))
    models = {form: (tmp_path / form / "run" / "model.safetensors").read_bytes() for form in settings}
    assert models["NFC"] == models["NFD"] != models["graphemes"]


def with_text(settings: Config, **text: object) -> Config:
    return settings.model_copy(update={"text": TextConfig.model_validate(text)})


def test_what_is_doubtful_about_units_is_said(tones: Path, tmp_path: Path) -> None:
    """Digits, ambiguous digraphs, units that never occur; and what a units file does not list is an error."""
    for name in ("train", "validation"):
        rows = read_manifest(tones / f"{name}.jsonl")
        texts = ["ab ba", "abc", "A3!", "…", *["c"] * (len(rows) - 4)]
        write_manifest(tmp_path / f"{name}.jsonl", [replace(r, text=t) for r, t in zip(rows, texts, strict=True)])
    settings = train_config(tmp_path)

    def opened(**text: object) -> tuple[Units, str]:
        said: list[str] = []
        data = open_data(with_text(settings, **text), said.append)
        return data.units, "\n".join(said)

    _, said = opened()
    assert "'3' (U+0033, DIGIT THREE) 1 times; spell numbers out" in said
    assert "texts: NFC, white space collapsed; units: 8 characters" in said
    units, said = opened(strip_punctuation=True, lower=True)
    assert set(units.symbols) == set(" abc3")
    assert "collapsed, punctuation stripped except ' inside words, lower case; units: 5 characters" in said
    assert "left out 2 utterances, empty transcript" in said and "train.jsonl:4)" in said

    listed = {"strip_punctuation": True, "lower": True, "units_file": str(tmp_path / "units.txt")}
    (tmp_path / "units.txt").write_text("ab\na\nb\nc\n3\nbc\nq\nsh\n")
    units, said = opened(**listed)
    assert units.symbols == (" ", "ab", "a", "b", "c", "3", "bc", "q", "sh")
    assert "units.txt that training text never holds: bc q sh" in said
    assert "other units would spell too are read as\n  ab, 1 times\n  ab + c, 1 times" in said
    (tmp_path / "units.txt").write_text("ab\nc\n3\n")
    with pytest.raises(TextError, match=r"units\.txt: .*'a' \(U\+0061.* 2 times, 'b' .* 1 times, first in train-0"):
        opened(**listed)
    assert "texts: NFC, white space collapsed; units: 6 phones" in opened(units="phones")[1]


def test_nothing_left_is_an_error(tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    write_manifest(tmp_path / "validation.jsonl", read_manifest(tones / "validation.jsonl"))
    write_manifest(tmp_path / "train.jsonl", [replace(u, audio=tmp_path / "no.wav") for u in utterances])
    with pytest.raises(TrainingError, match="none of its 96 utterances"):
        train(train_config(tmp_path), tmp_path / "run")
    write_manifest(tmp_path / "train.jsonl", [replace(u, text="abc" * 99) for u in utterances])
    with pytest.raises(TrainingError, match="none of its 96 utterances"):
        train(train_config(tmp_path), tmp_path / "run")


def test_cepstra_cannot_be_frequency_warped(tones: Path, tmp_path: Path) -> None:
    settings = train_config(tones)
    settings = settings.model_copy(update={"features": settings.features.model_copy(update={"kind": "mfcc"})})
    with pytest.raises(ConfigError, match="mfcc has no frequency axis"):
        train(settings, tmp_path)


@pytest.mark.parametrize("space", ["", " "])
def test_joined_utterances_have_joined_texts_and_stay_feasible(space: str, tones: Path, tmp_path: Path) -> None:
    """Also with frames so long that the shortest pause would not hold what joining adds."""
    for name in ("train", "validation"):
        utterances = [replace(u, text=space.join(u.text or "")) for u in read_manifest(tones / f"{name}.jsonl")]
        write_manifest(tmp_path / f"{name}.jsonl", utterances)
    config = with_augment(train_config(tmp_path, epochs=1), join=1.0)
    config = config.model_copy(update={"features": config.features.model_copy(update={"hop_ms": 40.0})})
    data = open_data(config, lambda line: None)
    task = RecognitionTask(config, data, torch.device("cpu"))
    (batches,) = task.plans()
    texts = [utterance.text or "" for utterance in data.training.utterances]
    assert sorted(index for batch in batches for pair in batch for index in pair) == list(range(len(texts)))
    for batch in batches:
        audio, lengths, targets = task.load(batch)
        written = [data.units.decode(target) for target in targets]
        assert written == [space.join(texts[index] for index in pair) for pair in batch]
        assert task.num_targets(batch) == sum(map(len, targets))
        assert audio.numel() <= task.padded_samples(batch) <= config.training.batch_seconds * RATE
        for pair, length, target in zip(batch, lengths.tolist(), targets, strict=True):
            pauses = length - data.training.num_samples[list(pair)].sum()
            assert 2 * 0.24 * RATE <= pauses <= 3 * RATE
            assert task.model.num_output_frames(length) >= required_frames(target)
        assert task.loss(task.module, (audio, lengths, targets)).isfinite()


def test_learns_from_joined_utterances(tones: Path, tmp_path: Path) -> None:
    assert train(with_augment(train_config(tones), join=0.5), tmp_path).summary["validation_cer"] < 5


def test_two_equal_views_cost_what_one_does(tones: Path) -> None:
    """Without masks and dropout views do not differ; with them they do, and the same two views cost more."""
    losses = []
    for chance, weight in ((False, 0.0), (False, 0.5), (True, 1e-9), (True, 0.5)):
        torch.manual_seed(0)
        config = train_config(tones, consistency=weight)
        config = config if chance else without_chance(config)
        task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
        losses.append(float(task.loss(task.module.train(), task.load([(0,), (1,), (2,)])).detach()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[3] > losses[2] * 1.001


def test_batches_have_few_sizes_and_little_padding(tones: Path) -> None:
    sizes = {size: few_sizes(size) for size in range(1, 1025)}
    assert all(size <= even <= size * 17 / 16 and few_sizes(even) == even for size, even in sizes.items())
    assert len({even for even in sizes.values() if 512 < even <= 1024}) == 16
    config = with_augment(train_config(tones), tempo=0.3)
    task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
    for _ in range(5):  # of any tempo
        features, frames = task.features(*task.load_audio([(0,), (1,)]), torch.zeros(2))
        assert features.shape[1] == few_sizes(int(frames.max()))
        assert not any(rows[frame:].any() for rows, frame in zip(features, frames.tolist(), strict=True))


def test_learns_from_two_views(tones: Path, tmp_path: Path) -> None:
    assert train(train_config(tones, consistency=0.2), tmp_path).summary["validation_cer"] < 5


@pytest.mark.parametrize("decoder", ["joint", "attention"])
def test_views_are_compared_for_ctc_alone(decoder: str, tones: Path, tmp_path: Path) -> None:
    config = train_config(tones, consistency=0.2)
    config = config.model_copy(update={"model": config.model.model_copy(update={"decoder": decoder})})
    with pytest.raises(ConfigError, match=r"training\.consistency: is for recognisers with model\.decoder=ctc"):
        train(config, tmp_path)


@pytest.mark.parametrize("decoder", ["ctc", "joint", "attention"])
def test_a_deaf_model_is_stopped_unless_attention_alone_makes_it(decoder: str, tones: Path) -> None:
    config = train_config(tones, epochs=4)
    config = config.model_copy(update={"model": config.model.model_copy(update={"decoder": decoder})})
    task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
    log = [{"epoch": epoch, "validation_loss": 3.0, "no_listening_loss": 3.0} for epoch in (1, 2)]
    if decoder == "attention":
        task.check(log, 5000)
    else:
        with pytest.raises(TrainingError, match="the model does not listen"):
            task.check(log, 5000)


def test_precision_auto_is_bf16_only_where_the_hardware_has_it() -> None:
    cpu = torch.device("cpu")
    assert use_bf16("auto", cpu) == bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    assert use_bf16("bf16", cpu) and not use_bf16("fp32", cpu)


def test_command_line_from_training_to_score(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(train_config(tones, epochs=3).to_yaml())
    trained = run_asr("train", "words.yaml", "--set", "training.epochs=2", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout == "" and "epoch 2/2" in trained.stderr
    model, hypotheses = "runs/words/model.safetensors", "out/test.hyp.jsonl"
    wrote = run_asr("transcribe", model, tones / "validation.jsonl", "-o", hypotheses, cwd=tmp_path)
    assert (wrote.returncode, wrote.stdout) == (0, "")
    scored = run_asr("score", tones / "validation.jsonl", hypotheses, cwd=tmp_path)
    log = [json.loads(line) for line in (tmp_path / "runs/words/log.jsonl").read_text().splitlines()]
    best = min(log, key=lambda row: (row["cer"], -row["epoch"]))
    assert scored.stdout.splitlines()[-1].startswith(f"%WER {best['wer']:.2f} [")
    assert scored.stdout.splitlines()[0].startswith(f"%CER {best['cer']:.2f} [")

    recordings = sorted((tones / "validation").glob("*.wav"))
    (tmp_path / "bad.wav").write_text("no recording")
    several = run_asr("transcribe", model, recordings[0], "bad.wav", recordings[1], cwd=tmp_path)
    assert several.returncode == 1
    assert [line.split("\t")[0] for line in several.stdout.splitlines()] == [str(recordings[0]), str(recordings[1])]
    assert "bad.wav: is not a recording" in several.stderr and "1 of 3 recordings" in several.stderr
    one = run_asr("transcribe", model, recordings[0], cwd=tmp_path)
    assert one.stdout.strip() == several.stdout.splitlines()[0].split("\t")[1]
    shown = run_asr("info", model, cwd=tmp_path)
    assert shown.returncode == 0 and "training_utterances: 96" in shown.stdout


def test_starting_from_another_model_keeps_what_it_knows(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = train(train_config(tones), tmp_path / "first")
    letters = str.maketrans({"a": "d"})  # another alphabet: a is gone, d is new
    for name in ("train", "validation"):
        utterances = read_manifest(tones / f"{name}.jsonl")
        write_manifest(
            tmp_path / f"{name}.jsonl", [replace(u, text=(u.text or "").translate(letters)) for u in utterances]
        )
    path = tmp_path / "first" / "model.safetensors"
    settings = train_config(tmp_path, epochs=1, learning_rate=1e-9, start_from=str(path))
    dropout = {"dropout": 0.4, "dropout_mask": "utterance"}  # these may be others
    settings = settings.model_copy(update={"model": settings.model.model_copy(update=dropout)})
    second = train(settings, tmp_path / "second")
    assert f"starting from {path}: units 2 kept, 1 new, 1 dropped" in capsys.readouterr().err
    weights = [r.acoustic_model.state_dict() for r in (first, second)]
    rows = [[0, *(r.units.symbols.index(s) + 1 for s in "bc")] for r in (first, second)]
    for name in weights[0]:
        old, new = (
            w[name][row] if name.startswith("output") else w[name] for w, row in zip(weights, rows, strict=True)
        )
        torch.testing.assert_close(old, new, atol=1e-6, rtol=0)
    smaller = settings.model_copy(update={"model": settings.model.model_copy(update={"hidden": 8})})
    with pytest.raises(ConfigError, match=r"--set model.hidden=32"):
        train(smaller, tmp_path / "third")


def test_what_does_not_fit_in_memory_is_computed_in_parts(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = without_chance(train_config(tones, epochs=2, precision="fp32"))
    whole = train(config, tmp_path / "whole")
    real = RecognitionTask.loss

    def loss(task: RecognitionTask, model: torch.nn.Module, data: Any) -> torch.Tensor:
        if len(data[0]) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(task, model, data)

    monkeypatch.setattr(RecognitionTask, "loss", loss)
    room = 3
    parts = train(config, tmp_path / "parts")
    assert "out of memory: from here on each batch is computed in 2 parts" in capsys.readouterr().err
    # Together, as AdamW makes what rounding does to a small gradient as large as any other step.
    ours, theirs = (parameters_to_vector(model.acoustic_model.parameters()) for model in (parts, whole))
    assert (ours - theirs).norm() < 0.01 * theirs.norm()
    room = 0
    with pytest.raises(TrainingError, match=r"too little memory .* lower training\.batch_seconds"):
        train(config, tmp_path / "none")


def test_trackers_get_what_the_log_gets(tones: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(train_config(tones, epochs=2, trackers=["tensorboard"]), tmp_path)
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents*")}
    events = EventAccumulator(str(folder))
    events.Reload()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for name in ("train_loss", "validation_loss", "cer", "wer"):
        assert [event.value for event in events.Scalars(name)] == pytest.approx([row[name] for row in log], rel=1e-6)
    with pytest.raises(ConfigError, match=r"training\.trackers: nosuch: is not installed"):
        train(train_config(tones, epochs=2, trackers=["nosuch"]), tmp_path / "other")


def test_memory_stays_flat(tones: Path, tmp_path: Path) -> None:
    """A leak of one batch an epoch, 1.5 MB of features and activations, would be seen."""
    train(train_config(tones, epochs=20, patience=20), tmp_path)
    used = [json.loads(line)["memory_mb"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert used[-1] - used[4] < 15


def test_the_page_is_renewed_while_training_goes_on(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands when the third epoch begins."""
    seen: list[str] = []
    real = RecognitionTask.evaluate

    def evaluate(task: RecognitionTask) -> dict[str, Any]:
        page = tmp_path / "training.html"
        seen.append(page.read_text() if page.exists() else "")
        return real(task)

    monkeypatch.setattr(RecognitionTask, "evaluate", evaluate)
    monkeypatch.setattr("asr.training.loop._DRAWN_EVERY", 0.0)
    train(train_config(tones, epochs=3), tmp_path)
    assert seen[0] == "" and "epoch 1 of 3" in seen[1] and 'http-equiv="refresh"' in seen[2]
