"""Pre-training: the loss, segments of recordings, the command, and training that starts from the encoder."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from conftest import RATE, train_config
from processes import run_asr
from safetensors import safe_open

from asr.api import load
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, ModelFileError, TrainingError
from asr.learning.pretrain import pretrain, pretraining_config, segments
from asr.model_file import DESCRIPTION_KEY
from asr.nn.reconstruction import Reconstruction, masked_error
from asr.pretrained import Pretrained
from asr.training.build import start_from, with_its_settings
from asr.training.pretraining import PretrainingTask, fresh_model
from asr.training.train import train
from asr.utterance import Utterance


def settings(tones: Path, **training: object) -> Config:
    return train_config(tones, **{"epochs": 2, "batch_utterances": 8, **training})


def untranscribed(tones: Path) -> list[Utterance]:
    return [Utterance(u.id, u.audio) for u in read_manifest(tones / "validation.jsonl")]


@pytest.fixture(scope="module")
def started(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pre-train a small encoder on the tones; return the folder of its run."""
    out = tmp_path_factory.mktemp("started")
    pretrain(settings(tones, epochs=8), untranscribed(tones), out, say=print)
    return out


def test_the_error_is_that_of_masked_real_values() -> None:
    generator = torch.Generator().manual_seed(0)
    found, features = torch.randn(2, 3, 5, 4, generator=generator)[:2], torch.randn(3, 5, 4, generator=generator)
    found = found[0]
    hidden, lengths = torch.rand(3, 5, 4, generator=generator) < 0.5, torch.tensor([5, 3, 2])
    hidden[2] = False
    expected = []
    for index, length in enumerate(lengths.tolist()):
        pairs = [
            (float(found[index, t, f]) - float(features[index, t, f])) ** 2
            for t in range(length)
            for f in range(4)
            if hidden[index, t, f]
        ]
        expected.append(np.mean(pairs) if pairs else 0.0)
    assert expected[2] == 0 and expected[0] > 0
    np.testing.assert_allclose(masked_error(found, features, hidden, lengths), expected, rtol=1e-5)


@pytest.mark.parametrize("frontend", ["conv", "stack"])
@pytest.mark.parametrize("subsampling", [1, 3])
def test_padding_never_changes_a_reconstruction(frontend: str, subsampling: int) -> None:
    network = Reconstruction(
        num_values=6 * subsampling,
        num_bins=6,
        frontend=frontend,
        subsampling=subsampling,
        channels=2,
        hidden=5,
        layers=2,
    ).eval()
    features, lengths = torch.randn(2, 23, 6), torch.tensor([23, 10])
    features[1, 10:] = 0
    together = network(features, lengths)
    alone = network(features[1:, :10], lengths[1:])
    assert together.shape == features.shape and alone.shape == (1, 10, 6)
    torch.testing.assert_close(together[1, :10], alone[0], atol=1e-5, rtol=0)


def test_an_encoder_learns_and_equal_runs_give_equal_bytes(started: Path, tones: Path, tmp_path: Path) -> None:
    log = [json.loads(line) for line in (started / "log.jsonl").read_text().splitlines()]
    assert log[-1]["reconstruction_error"] < 0.8 * log[0]["reconstruction_error"]
    assert log[0]["no_listening_loss"] == log[-1]["no_listening_loss"]
    assert (started / "training.png").stat().st_size > 10_000
    model = load(started / "model.safetensors", "cpu")
    assert isinstance(model, Pretrained) and "8000 Hz" in repr(model)
    pretrain(settings(tones, epochs=8), untranscribed(tones), tmp_path / "again", say=print)
    one, other = (safetensors.torch.load_file(run / "model.safetensors") for run in (started, tmp_path / "again"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_segments_are_those_of_all_recordings_each_once(started: Path, tones: Path) -> None:
    rows = read_manifest(started / "train.jsonl") + read_manifest(started / "validation.jsonl")
    recordings = {
        Path(u.audio).resolve() for name in ("train", "validation") for u in read_manifest(tones / f"{name}.jsonl")
    }
    long = {path for path in recordings if soundfile.info(path).duration >= 0.3}
    assert len({row.id for row in rows}) == len(rows)
    assert {Path(row.audio).resolve() for row in rows} == long
    assert all(row.text == "" and row.duration is not None and 0.3 <= row.duration <= 20 for row in rows)


def test_a_long_recording_is_divided_by_speech_and_silence_is_left_out(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    speech = np.concatenate([0.3 * generator.standard_normal(3 * RATE) * np.hanning(3 * RATE), np.zeros(2 * RATE)])
    long = 1e-4 * generator.standard_normal(12 * len(speech)) + np.tile(speech, 12)
    soundfile.write(tmp_path / "long.wav", long, RATE)
    soundfile.write(tmp_path / "silence.wav", np.zeros(5 * RATE), RATE)
    (tmp_path / "damaged.wav").write_bytes(b"RIFF")
    said: list[str] = []
    listed = [Utterance(name, tmp_path / f"{name}.wav") for name in ("long", "silence", "damaged")]
    found = list(segments(listed, RATE, said.append))
    assert len(found) == 12
    for number, segment in enumerate(found):
        assert 5 * number - 0.5 <= segment.offset <= 5 * number + 1
        assert 1 <= (segment.duration or 0) <= 4
    assert said[0] == f"left out: {tmp_path / 'silence.wav'}: no speech"
    assert said[1].startswith(f"left out: {tmp_path / 'damaged.wav'}: ") and len(said) == 2


def test_training_starts_from_the_encoder(started: Path, tones: Path, tmp_path: Path) -> None:
    """The settings of the encoder are taken where the configuration leaves them open; its weights are copied."""
    tree = settings(tones, epochs=1, learning_rate=1e-9, start_from=str(started / "model.safetensors")).model_dump()
    tree["model"] = {}
    said: list[str] = []
    taken = with_its_settings(Config.model_validate(tree), said.append)
    before = load(started / "model.safetensors", "cpu")
    assert taken.model.hidden == before.config.model.hidden and "model.hidden=" in said[0]
    recognizer = train(Config.model_validate(tree), tmp_path / "run")
    ours, theirs = recognizer.acoustic_model.state_dict(), before.acoustic_model.state_dict()
    shared = [name for name in theirs if not name.startswith("output.")]
    assert len(shared) > 4
    for name in shared:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-5)
    assert ours["output.weight"].shape != theirs["output.weight"].shape


def test_what_differs_is_named(started: Path, tones: Path) -> None:
    tree = settings(tones).model_dump()
    tree["model"]["hidden"] += 1
    other = fresh_model(pretraining_config(Config.model_validate(tree), {"train": ["t"], "validation": ["v"]}))
    with pytest.raises(
        ConfigError, match=r"was trained with other settings; to start from it, use --set model\.hidden="
    ):
        start_from(other, started / "model.safetensors")


def test_a_second_pretraining_keeps_the_output_layer(started: Path, tones: Path) -> None:
    config = load(started / "model.safetensors", "cpu").config
    fresh = fresh_model(config)
    start_from(fresh, started / "model.safetensors")
    before = safetensors.torch.load_file(started / "model.safetensors")
    assert torch.equal(fresh.acoustic_model.state_dict()["output.weight"], before["acoustic_model.output.weight"])


def test_too_little_and_no_masks_are_errors(tones: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    write_manifest(few, read_manifest(tones / "train.jsonl")[:5])
    tree = settings(tones).model_dump()
    tree["data"]["train"] = [str(few)]
    with pytest.raises(TrainingError, match=r"pre-training needs at least 20; add recordings"):
        pretrain(Config.model_validate(tree), [], tmp_path / "out", say=print)
    bare = settings(tones).model_dump() | {"task": "pretraining"}
    bare["augment"] |= {"time_masks_per_second": 0.0, "frequency_masks": 0, "join": 0.0}
    bare["data"]["train_on_empty"] = True
    with pytest.raises(ConfigError, match=r"task=pretraining: needs augment\.time_masks_per_second or augment\.freq"):
        train(Config.model_validate(bare), tmp_path / "out")


def test_the_file_is_checked_and_other_commands_say_what_it_is(started: Path, tones: Path, tmp_path: Path) -> None:
    path = started / "model.safetensors"
    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()[DESCRIPTION_KEY])
    tensors = safetensors.torch.load_file(path)
    tensors = {n: t[:-1] if n.startswith("acoustic_model.output.") else t for n, t in tensors.items()}
    damaged = tmp_path / "damaged.safetensors"
    description["values"] = description["values"][:-1]
    safetensors.torch.save_file(tensors, damaged, {DESCRIPTION_KEY: json.dumps(description)})
    with pytest.raises(ModelFileError, match="values are not those of an encoder frame"):
        load(damaged, "cpu")
    found = run_asr("transcribe", path, read_manifest(tones / "train.jsonl")[0].audio)
    assert found.returncode == 1 and "was trained for pretraining; use it with `asr train --from`" in found.stderr
    found = run_asr("export", path, "-o", tmp_path / "x.onnx")
    assert "is a model of pretraining; recognisers and classifiers can be exported" in found.stderr
    assert found.returncode == 1 and not (tmp_path / "x.onnx").exists()
    assert "task: pretraining" in run_asr("info", path).stdout


def test_on_the_command_line(tones: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    config = settings(tones, epochs=1)
    folder.mkdir()
    (folder / "config.yaml").write_text(config.to_yaml())
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for utterance in untranscribed(tones)[:3]:
        (recordings / Path(utterance.audio).name).write_bytes(Path(utterance.audio).read_bytes())
    found = run_asr("pretrain", folder, recordings, "--seed", 3, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stderr.endswith("next: asr train mine --from runs/mine-start\n") or "--from" in found.stderr
    run = tmp_path / "runs" / "mine-start"
    assert Config.load(run / "config.yaml").training.seed == 3
    assert (
        "is the result of" in run_asr("pretrain", folder, cwd=tmp_path).stderr or (run / "model.safetensors").exists()
    )
    assert run_asr("train", folder, "--from", run, cwd=tmp_path).returncode == 0
    assert "INPUT -" in run_asr("pretrain", folder, "-", cwd=tmp_path).stderr


def test_the_task_draws_equal_masks_for_validation(started: Path, tones: Path) -> None:
    config = Config.load(started / "config.yaml")
    from asr.training.data import open_corpora

    task = PretrainingTask(config, open_corpora(config, print), torch.device("cpu"))
    one, other = task.evaluate(), task.evaluate()
    assert one == other
    waves = [task.data.validation.audio(0)]
    assert torch.equal(task.masked([0], waves)[2], task.masked([0], waves)[2])
    assert 0 < task.masked([0], waves)[2].float().mean() < 0.7
