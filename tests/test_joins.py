"""Joined recordings: real pauses between neighbours, real context, made pauses; chosen share; trained lengths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, interrupted, spell, train_config, with_augment

from asr.batching import Joined
from asr.config import Config
from asr.corpus.manifest import write_manifest
from asr.model_file import read_metadata
from asr.training.data import open_data
from asr.training.joining import choose_join
from asr.training.lengths import measure_lengths
from asr.training.pauses import make_pause
from asr.training.recognition import RecognitionTask
from asr.training.recordings import Recordings
from asr.training.train import train
from asr.utterance import Utterance

GAPS = (0.5, 0.8, 1.6, 3.0, 0.02, 0.7, 0.0, 1.2)  # seconds between the utterances of a session


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write ten sessions of nine utterances in the noise of a room, and a manifest of their lines.

    In each session the third gap holds an utterance that is in no manifest, and the sixth a line of validation.
    """
    folder = tmp_path_factory.mktemp("sessions")
    generator = np.random.default_rng(1)
    lines: dict[str, list[Utterance]] = {"train": [], "validation": []}
    for session in range(10):
        pieces, now = [np.zeros(RATE // 2)], 0.5
        for number in range(9):
            text = "".join(generator.choice(list("abc"), 3))
            speech = spell(text, generator)
            name = "validation" if number == 6 else "train"
            row = Utterance(f"{session}-{number}", folder / f"{session}.wav", text, round(now, 4), len(speech) / RATE)
            lines[name].append(row)
            pieces.append(speech)
            now += len(speech) / RATE
            if number < 8:
                gap = np.zeros(round(GAPS[number] * RATE))
                if number == 2:  # nobody transcribed it
                    gap[RATE // 2 : RATE // 2 + len(speech)] = spell("cab", generator)
                pieces.append(gap)
                now += GAPS[number]
        pieces.append(np.zeros(RATE // 4))
        samples = np.concatenate(pieces)
        samples += 0.003 * generator.standard_normal(len(samples))
        soundfile.write(folder / f"{session}.wav", samples, RATE, subtype="PCM_16")
    for name, rows in lines.items():
        write_manifest(folder / f"{name}.jsonl", rows)
    return folder


def recordings(config: Config) -> Recordings:
    return Recordings(open_data(config, lambda line: None).training, shortest_pause=480)


def at(found: Recordings, session: int, number: int) -> int:
    """Return the index of an utterance of training."""
    return next(i for i, u in enumerate(found.corpus.utterances) if u.id == f"{session}-{number}")


def test_neighbours_follow_after_a_pause_and_nothing_else(sessions: Path) -> None:
    """Not over hidden speech, 3 s, 20 ms, or a line of validation; the first two and the last but one pass."""
    found = recordings(train_config(sessions))
    ids = [u.id for u in found.corpus.utterances]
    pairs = {(ids[left], ids[right]) for left, right in enumerate(found.following) if right >= 0}
    assert pairs == {(f"{s}-{n}", f"{s}-{n + 1}") for s in range(10) for n in (0, 1, 7)}
    assert found.gaps[at(found, 3, 1)] == 0.8 * RATE


def test_a_join_of_neighbours_is_the_recording_as_it_stands(sessions: Path) -> None:
    found = recordings(train_config(sessions))
    chain = tuple(at(found, 4, number) for number in (0, 1, 2))
    whole = soundfile.read(sessions / "4.wav", dtype="float32")[0]
    first, last = (found.corpus.utterances[index] for index in (chain[0], chain[-1]))
    start, end = round(first.offset * RATE), round((last.offset + (last.duration or 0)) * RATE)
    for _ in range(20):
        joined = found.read(Joined(chain, True))
        place = next(n for n in range(len(joined)) if np.array_equal(joined[n : n + 50], whole[start : start + 50]))
        np.testing.assert_array_equal(joined[place : place + end - start], whole[start:end])
        real = min(place, len(found.corpus.before(chain[0])))
        np.testing.assert_array_equal(joined[place - real : place], whole[start - real : start])
        assert len(joined) <= found.most_samples(Joined(chain, True))
        assert np.abs(np.delete(joined, slice(place, place + end - start))).max(initial=0) < 0.05


def test_context_is_drawn_from_nothing_to_all_of_it(sessions: Path) -> None:
    found = recordings(train_config(sessions))
    index = at(found, 2, 4)  # 3 s of pause before it, an utterance 20 ms after it
    audio, before = found.corpus.audio(index), found.corpus.before(index)
    assert len(before) == RATE and found.corpus.num_after[index] <= 0.02 * RATE
    lengths = set()
    for _ in range(30):
        drawn = found.read(Joined((index,), True))
        place = next(n for n in range(len(before) + 1) if np.array_equal(drawn[n : n + len(audio)], audio))
        np.testing.assert_array_equal(drawn[:place], before[len(before) - place :])
        lengths.add(place)
    assert len(lengths) > 20 and min(lengths) < 0.2 * RATE and max(lengths) > 0.8 * RATE
    np.testing.assert_array_equal(found.read(Joined((index,))), audio)


def test_a_made_pause_has_the_spectrum_of_the_room() -> None:
    """Low hum in the room: the pause has it too, at most at its level, and never as loud as speech."""
    generator = np.random.default_rng(0)
    hum = 0.03 * np.convolve(generator.standard_normal(3 * RATE), np.ones(40) / 40, "same")
    speech = (hum + np.concatenate([np.zeros(RATE), generator.normal(0, 0.2, RATE), np.zeros(RATE)])).astype(np.float32)
    level = np.square(hum).mean()
    for length in (1, 100, RATE):
        pause = make_pause(speech, length, RATE)
        assert pause.shape == (length,) and pause.dtype == np.float32
    ratios = []
    for _ in range(30):
        pause = make_pause(speech, RATE, RATE)
        ratios.append(10 * np.log10(np.square(pause).mean() / level))
        power = np.square(np.abs(np.fft.rfft(pause)))
        assert power[:400].sum() > 5 * power[2000:].sum()  # of white noise, a fifth
    assert -24 < min(ratios) < -12 and -8 < max(ratios) < 1
    tone = np.sin(np.arange(RATE // 50)).astype(np.float32)  # half a frame of loud speech and nothing else
    assert np.square(make_pause(tone, RATE, RATE)).mean() < np.square(tone).mean() * 10**-2.4
    assert not make_pause(np.zeros(RATE, np.float32), RATE, RATE).any()
    padded = np.concatenate([speech, np.zeros(RATE, np.float32)])  # digital silence is in no room
    below = 10 * np.log10(np.square(padded).mean() / np.square(make_pause(padded, RATE, RATE)).mean())
    assert 59 < below < 81
    torch.manual_seed(3)
    once = make_pause(speech, RATE, RATE)
    torch.manual_seed(3)
    np.testing.assert_array_equal(make_pause(speech, RATE, RATE), once)


def test_the_share_that_is_chosen_adds_at_most_8_percent(sessions: Path, tones: Path) -> None:
    for folder in (sessions, tones):
        config = with_augment(train_config(folder), join=None)
        data = open_data(config, lambda line: None)
        lines: list[str] = []
        chosen = choose_join(config, data, lines.append)
        join = chosen.augment.join
        assert join is not None and 0.02 < join <= 0.5 and f"augment.join={join:g}: recordings of" in lines[0]
        found = Recordings(data.training, shortest_pause=480)
        plan = found.plan(join, max_samples=10**9, max_utterances=8, generator=np.random.default_rng(0))
        samples = np.mean([sum(len(found.read(one)) for batch in plan for one in batch) for _ in range(3)])
        added = samples / data.training.num_samples.sum() - 1
        assert 0.03 < added < 0.09
        assert choose_join(chosen, data, lines.append) is chosen and len(lines) == 1  # a number that is set stays


def test_lengths_are_those_of_the_plans(sessions: Path, tones: Path) -> None:
    found = recordings(train_config(sessions))
    plan = found.plan(1.0, max_samples=10**9, max_utterances=8, generator=np.random.default_rng(0))
    lengths = measure_lengths(found, plan)
    assert 5.0 < lengths.longest < 6.5  # short utterances are joined up to about 6 s
    assert lengths.pause == 0.5  # the shortest gap that is no touching of lines
    singles = found.plan(0.0, max_samples=10**9, max_utterances=8, generator=np.random.default_rng(0))
    assert measure_lengths(found, singles).longest == 5.0  # utterances of half a second; 5 s are never cut
    alone = recordings(train_config(tones))
    assert measure_lengths(alone, [[Joined((0,))]]).pause == 0.5
    long = Joined(tuple(range(40)), True)
    assert measure_lengths(alone, [[long]]).longest > 5 + alone.corpus.num_samples[:40].sum() / RATE / 2


def test_a_run_on_sessions_resumes_to_the_same_bytes_and_keeps_its_lengths(
    sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_augment(train_config(sessions, epochs=2, checkpoint_minutes=1e-6, batch_utterances=8), join=0.7)
    whole = train(config, tmp_path / "whole")
    with interrupted(monkeypatch, after=5):
        train(config, tmp_path / "stopped")
    train(config, tmp_path / "stopped")
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert models[0] == models[1]
    lengths = read_metadata(tmp_path / "whole" / "model.safetensors")["lengths"]
    assert whole.trained_lengths is not None and lengths == whole.trained_lengths.model_dump()


def test_other_lines_change_what_a_run_resumes_from(sessions: Path, tmp_path: Path) -> None:
    """A line that takes the context of another changes a joined run's data, and no other run's."""
    for name in ("train", "validation"):
        (tmp_path / f"{name}.jsonl").write_text(
            (sessions / f"{name}.jsonl").read_text().replace('"audio_filepath": "', f'"audio_filepath": "{sessions}/')
        )
    prints: dict[float, set[str]] = {0.0: set(), 0.5: set()}
    for extra in (False, True):
        if extra:
            row = Utterance("hidden", sessions / "0.wav", "cab", 3.6, 0.1)
            with (tmp_path / "validation.jsonl").open("a") as file:
                write_manifest(tmp_path / "more.jsonl", [replace(row)])
                file.write((tmp_path / "more.jsonl").read_text())
        for join, found in prints.items():
            config = with_augment(train_config(tmp_path), join=join)
            torch.manual_seed(0)
            task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
            task.data.validation.select(range(10))  # the fingerprint of validation data is not in question here
            found.add(task.fingerprint())
    assert len(prints[0.0]) == 1 and len(prints[0.5]) == 2
