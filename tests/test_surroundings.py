"""Rooms, noise and channels in training: shares, ratios, seeds, exact resume, the fingerprint of a run, messages."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, fresh_recognizer, interrupted, train_config, with_augment
from processes import run_asr

from asr.acoustics.noise import read_noise
from asr.acoustics.rooms import simulate_rooms
from asr.acoustics.surroundings import NUM_DRAWS, Surroundings
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, TrainingError
from asr.training.augment import Augment, surround
from asr.training.build import build_augment
from asr.training.train import train

CHANNELS = ("telephone", "clipping", "quiet")


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    folder = tmp_path / "noise"
    folder.mkdir()
    for number in range(2):
        samples = 0.1 * np.random.default_rng(number).standard_normal(2 * RATE)
        soundfile.write(folder / f"{number}.wav", samples, RATE)
    return folder


def speech(seed: int = 0, count: int = 4000) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def draws(**values: float) -> np.ndarray:
    names = ("in_room", "room", "in_noise", "sound", "where", "ratio", "in_channel", "channel", "strength")
    assert len(names) == NUM_DRAWS
    return np.array([values.get(name, 0.99 if name.startswith("in_") else 0.5) for name in names])


def test_nothing_is_changed_where_nothing_is_drawn(noise: Path) -> None:
    around = Surroundings(
        sample_rate=RATE,
        share=0.5,
        noise=read_noise(noise, RATE, setting="x"),
        rooms=simulate_rooms(RATE, 3),
        channels=CHANNELS,
    )
    samples = speech()
    assert around(samples, draws()) is samples
    for name in ("in_room", "in_noise", "in_channel"):
        changed = around(samples, draws(**{name: 0.49}))
        assert not np.array_equal(changed, samples) and changed.shape == samples.shape
        assert np.abs(changed).max() <= 1 and changed.dtype == np.float32


def test_the_ratio_lies_between_its_bounds(noise: Path) -> None:
    around = Surroundings(sample_rate=RATE, share=0.5, noise=read_noise(noise, RATE, setting="x"), snr_db=(5, 25))
    samples = speech()
    for drawn, expected in ((0.0, 5.0), (0.5, 15.0), (0.99999, 25.0)):
        added = around(samples, draws(in_noise=0.0, ratio=drawn)) - samples
        assert 10 * np.log10(np.square(samples).sum() / np.square(added).sum()) == pytest.approx(expected, abs=0.1)


def test_noise_is_mixed_with_the_speech_in_the_room_before_the_channel(noise: Path) -> None:
    """A telephone transmits the noise too, but the room does not reflect it."""
    sounds, rooms = read_noise(noise, RATE, setting="x"), simulate_rooms(RATE, 3)
    around = Surroundings(
        sample_rate=RATE, share=0.5, noise=sounds, snr_db=(0, 0), rooms=rooms, channels=("telephone",)
    )
    in_room = around(speech(), draws(in_room=0.0))
    noisy = around(speech(), draws(in_room=0.0, in_noise=0.0))
    scale = np.abs(noisy).max() / np.abs(in_room + (noisy - in_room)).max()
    assert scale == pytest.approx(1)
    part, _ = sounds.part(4000, 0.5, 0.5)
    assert np.corrcoef(noisy - in_room, part)[0, 1] > 0.999
    called = around(speech(), draws(in_room=0.0, in_noise=0.0, in_channel=0.0))
    spectrum = np.abs(np.fft.rfft(called)) ** 2
    assert spectrum[: round(150 / RATE * 4000)].sum() < 1e-3 * spectrum.sum()


def test_a_batch_is_changed_utterance_by_utterance_and_padding_stays(noise: Path) -> None:
    around = Surroundings(
        sample_rate=RATE,
        share=1.0,
        noise=read_noise(noise, RATE, setting="x"),
        snr_db=(10, 10),
        rooms=simulate_rooms(RATE, 3),
        channels=CHANNELS,
    )
    lengths = torch.tensor([4000, 1500, 1])
    audio = torch.zeros(3, 5000)
    for row, length in zip(audio, lengths.tolist(), strict=True):
        row[:length] = torch.from_numpy(speech(count=length))
    torch.manual_seed(1)
    changed = surround(audio, lengths, around)
    assert changed.shape == audio.shape and all((row[n:] == 0).all() for row, n in zip(changed, lengths, strict=True))
    torch.manual_seed(1)
    drawn = torch.rand(3, NUM_DRAWS, dtype=torch.float64).numpy()
    for row, length, numbers in zip(changed, lengths.tolist(), drawn, strict=True):
        np.testing.assert_array_equal(row[:length].numpy(), around(speech(count=length), numbers))
    torch.manual_seed(1)
    padded = surround(torch.nn.functional.pad(audio, (0, 999)), lengths, around)
    assert torch.equal(padded[:, :5000], changed)


def test_the_share_of_changed_utterances_is_the_one_asked_for() -> None:
    around = Surroundings(sample_rate=RATE, share=0.3, channels=("quiet",))
    audio = torch.from_numpy(speech(count=400 * 50)).reshape(400, 50)
    changed = (surround(audio, torch.full((400,), 50), around) != audio).any(1)
    assert 0.22 < changed.float().mean() < 0.38


def configured(**augment: object) -> Config:
    return Config.model_validate(
        {
            "data": {"train": "t.jsonl", "validation": "v.jsonl"},
            "features": {"sample_rate": RATE},
            "augment": {"join": 0, "frequency_warp": 0, "tempo": 0, **augment},
        }
    )


def test_white_noise_stays_where_no_folder_is_set(noise: Path) -> None:
    recognizer = fresh_recognizer()
    white = build_augment(configured(noise_snr_db=[10, 10]), recognizer)
    assert white.noise_snr_db == (10, 10) and white.surroundings is None
    recorded = build_augment(configured(noise_snr_db=[10, 10], noise=str(noise)), recognizer)
    assert recorded.noise_snr_db is None and recorded.surroundings is not None
    assert recorded.surroundings.facts() == [
        f"augment.noise: 2 recordings of {noise}, 0.1 min; mixed at 10 to 10 dB; 50% of the utterances"
    ]
    open_ratio = build_augment(configured(noise=str(noise), share=0.25), recognizer).surroundings
    assert open_ratio is not None
    assert open_ratio.facts()[0].endswith("; mixed at 5 to 25 dB; 25% of the utterances")


def test_a_share_of_0_reads_nothing() -> None:
    assert build_augment(configured(noise="nowhere", rooms="nowhere", share=0), fresh_recognizer()).surroundings is None


def test_off_changes_nothing() -> None:
    audio = torch.randn(3, 100)
    augment = Augment(hop_seconds=0.01, bin_frequencies=None)
    assert augment.audio(audio, torch.tensor([100, 50, 20])) is audio


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("augment.channels=[radio]", "augment.channels must be 'telephone', 'gsm', .* or 'quiet' .*radio"),
        ("augment.share=0.3", "augment has a share, but no noise, rooms or channels; set one of them"),
        ("augment.share=1.5", "augment.share must be at most 1"),
        ("augment.noise=''", "augment.noise must not be empty"),
        ("augment.rooms=3", "augment.rooms must be a text"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, override: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {train: t.jsonl, validation: v.jsonl}\n")
    with pytest.raises(ConfigError, match=message):
        Config.load(path, [override])


def test_one_channel_needs_no_list(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {train: t.jsonl, validation: v.jsonl}\naugment: {channels: telephone}\n")
    config = Config.load(path)
    assert config.augment.channels == ("telephone",)
    (tmp_path / "again.yaml").write_text(config.to_yaml())
    assert Config.load(tmp_path / "again.yaml") == config


def test_older_checkpoints_keep_their_fingerprints(noise: Path) -> None:
    plain = configured().fingerprint()
    assert not any(name in plain for name in ("channels:\n", "rooms:", "share:", "noise:"))
    assert "- telephone" in configured(channels="telephone").fingerprint()


def test_folders_lie_beside_the_configuration_and_simulated_is_no_folder(tmp_path: Path, noise: Path) -> None:
    (tmp_path / "simulated").mkdir()
    path = tmp_path / "config.yaml"
    path.write_text("data: {train: t.jsonl, validation: v.jsonl}\naugment: {noise: noise, rooms: simulated}\n")
    augment = Config.load(path).augment
    assert augment.noise == str(noise) and augment.rooms == "simulated"
    path.write_text("data: {train: t.jsonl, validation: v.jsonl}\naugment: {rooms: ./simulated}\n")
    assert Config.load(path).augment.rooms == str(tmp_path / "simulated")


def surrounded(tones: Path, noise: Path, **training: Any) -> Config:
    settings = {"noise": str(noise), "rooms": "simulated", "channels": ("telephone", "opus"), "join": 0.5}
    return with_augment(train_config(tones, epochs=2, **training), **settings)


def test_an_interrupted_run_ends_with_equal_bytes_and_other_noise_is_another_run(
    tones: Path, noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = surrounded(tones, noise, checkpoint_minutes=1e-6)
    train(config, tmp_path / "whole")
    said = capsys.readouterr().err
    assert f"augment.noise: 2 recordings of {noise}" in said and "augment.rooms: 100 simulated rooms" in said
    assert "augment.channels: telephone, opus; 50% of the utterances" in said
    out = tmp_path / "stopped"
    with interrupted(monkeypatch, after=2):
        train(config, out)
    samples, rate = soundfile.read(noise / "0.wav", dtype="int16")
    soundfile.write(noise / "0.wav", samples[::-1], rate)
    with pytest.raises(TrainingError, match="holds an unfinished run with other data"):
        train(config, out)
    soundfile.write(noise / "0.wav", samples, rate)
    train(config, out)
    assert "resuming from the checkpoint" in capsys.readouterr().err
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_streamed_and_packed_data_give_equal_models(tones: Path, noise: Path, tmp_path: Path) -> None:
    for name in ("train.jsonl", "validation.jsonl"):  # streamed data needs durations
        utterances = read_manifest(tones / name)
        timed = [replace(one, duration=soundfile.info(one.audio).duration) for one in utterances]
        write_manifest(tmp_path / name, timed)
    models = []
    for stream in (False, True):
        config = surrounded(tmp_path, noise, epoch_utterances=40)
        config = with_augment(config, join=0)  # pauses are known of packed data only
        data = config.data.model_copy(update={"stream": stream})
        models.append(train(config.model_copy(update={"data": data}), tmp_path / str(stream)))
    one, other = (model.acoustic_model.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_folder_without_recordings_ends_the_command_with_one_line(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    path = tmp_path / "config.yaml"
    path.write_text(with_augment(train_config(tones), noise=str(tmp_path / "empty")).to_yaml())
    done = run_asr("train", path, "--out", tmp_path / "run")
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()  # before the data is checked and packed
    assert said.startswith(f"asr: augment.noise: {tmp_path / 'empty'}: is empty; put recordings")
