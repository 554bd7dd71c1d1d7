"""Noise, rooms and folders of sounds: ratios, powers, memory, an oracle for mirror images, hostile folders."""

import itertools
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.acoustics.image_source import image_response, reflection, room_response
from asr.acoustics.noise import Noise, mix, pink, power, read_noise
from asr.acoustics.rooms import (
    Rooms,
    open_rooms,
    prepare_response,
    read_rooms,
    response_fault,
    reverberate,
    simulate_rooms,
)
from asr.acoustics.sounds import Sounds, evenly, find_recordings, read_sounds
from asr.errors import ConfigError

RATE = 8000  # Hz


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def random_sound(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)).clip(-5, 5)


def noise_of(*sounds: np.ndarray) -> Noise:
    return Noise(Sounds(tuple(((32768 * sound).astype(np.int16),) for sound in sounds), ""))


def decaying(seconds: float = 0.5, reverberation_time: float = 0.3, seed: int = 0) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    tail = 0.1 * np.random.default_rng(seed).standard_normal(len(times)) * 10 ** (-3 * times / reverberation_time)
    return np.concatenate([np.zeros(40), [0.9], tail]).astype(np.float32)


# Folders of sounds


def test_recordings_are_found_in_the_order_of_their_names_in_all_folders(tmp_path: Path) -> None:
    for name in ("b/2.wav", "b/10.WAV", "a.flac", "b/.hidden.wav", "README.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert [path.name for path in find_recordings(tmp_path, "x")] == ["a.flac", "10.WAV", "2.wav"]
    assert find_recordings(tmp_path / "a.flac", "x") == [tmp_path / "a.flac"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "augment.noise: .*noise: is empty; put recordings"),
        (("LICENSE", "list.txt"), "augment.noise: .*noise: holds no recording, but LICENSE, list.txt; put recordings"),
    ],
)
def test_a_folder_without_recordings_is_named(tmp_path: Path, files: tuple[str, ...], message: str) -> None:
    (tmp_path / "noise").mkdir()
    for name in files:
        (tmp_path / "noise" / name).write_text("x")
    with pytest.raises(ConfigError, match=message):
        read_noise(tmp_path / "noise", RATE, setting="augment.noise")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"augment\.noise: .*nothing: no such folder; name a folder of recordings"):
        read_noise(tmp_path / "nothing", RATE, setting="augment.noise")


def test_a_file_that_cannot_be_read_is_named_with_its_cure(tmp_path: Path) -> None:
    write(tmp_path / "good.wav", random_sound(1))
    (tmp_path / "text.wav").write_text("this is no recording at all")
    with pytest.raises(ConfigError, match=r"augment\.noise: .*text\.wav: .*; or take the file out of .*"):
        read_noise(tmp_path, RATE, setting="augment.noise")


def test_silence_is_no_noise(tmp_path: Path) -> None:
    write(tmp_path / "good.wav", random_sound(1))
    write(tmp_path / "silent.wav", np.zeros(RATE))
    with pytest.raises(ConfigError, match=r"silent\.wav: is silent, all samples are 0; take the file out of"):
        read_noise(tmp_path, RATE, setting="augment.noise")


def test_any_format_and_rate_is_read_whole_if_it_fits(tmp_path: Path) -> None:
    write(tmp_path / "a.flac", random_sound(2, rate=22050), 22050)
    stereo = np.stack([random_sound(1, 1), random_sound(1, 2)], axis=1)
    write(tmp_path / "b" / "c.wav", stereo)
    sounds = read_sounds(tmp_path, RATE, setting="x", seconds=60)
    assert [[len(part) for part in parts] for parts in sounds.recordings] == [[2 * RATE], [RATE]]
    assert sounds.facts == f"2 recordings of {tmp_path}, 0.1 min"


def test_a_long_recording_takes_bounded_memory_and_all_of_its_parts(tmp_path: Path) -> None:
    """The recording rises from part to part, so what was read shows where it was read."""
    rising = np.linspace(0.01, 0.9, 600 * RATE)
    write(tmp_path / "long.wav", rising)
    write(tmp_path / "short.wav", random_sound(5))
    tracemalloc.start()
    sounds = read_sounds(tmp_path, RATE, setting="x", seconds=100)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6e6  # bytes; the whole recording has 19 MB in float32
    long, short = sounds.recordings
    assert sum(map(len, long)) == 95 * RATE and [len(part) for part in short] == [5 * RATE]
    levels = [float(part.mean()) / 32768 for part in long]
    assert len(levels) == 5 and levels[0] < 0.05 and levels[-1] > 0.7
    np.testing.assert_allclose(np.diff(levels), np.diff(levels)[0], rtol=0.01)  # evenly spaced
    assert "of each at most 95 s are used, from all of its parts" in sounds.facts


def test_of_very_many_recordings_some_are_read(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / f"{number:02}.wav", random_sound(12, number))
    sounds = read_sounds(tmp_path, RATE, setting="x", seconds=40)
    assert len(sounds.recordings) == 4 and all(len(parts[0]) == 10 * RATE for parts in sounds.recordings)
    assert "12 are there, every 3.0th is used" in sounds.facts
    assert [path.name for path in evenly([Path(str(n)) for n in range(10)], 3)] == ["0", "3", "6"]


# Noise


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.5])
def test_noise_is_mixed_at_the_ratio_asked_for(snr_db: float) -> None:
    speech, noise = random_sound(2).astype(np.float32), noise_of(random_sound(5, 1))
    mixed = mix(speech, *noise.part(len(speech), 0.0, 0.3), snr_db)
    ratio = 10 * math.log10(np.square(speech).sum() / np.square(mixed - speech).sum())
    assert ratio == pytest.approx(snr_db, abs=0.01)
    assert mixed.dtype == np.float32 and len(mixed) == len(speech)


def test_parts_come_from_everywhere_and_equal_numbers_choose_equal_parts() -> None:
    ramp = np.linspace(0.1, 0.9, 1000)
    noise = noise_of(ramp, -ramp)
    first, last = noise.part(100, 0.0, 0.0)[0], noise.part(100, 0.0, 0.9999)[0]
    np.testing.assert_allclose(first, ramp[:100], atol=1e-4)
    np.testing.assert_allclose(last, ramp[-100:], atol=1e-4)
    assert (noise.part(100, 0.5, 0.2)[0] < 0).all() and (noise.part(100, 0.49, 0.2)[0] > 0).all()
    np.testing.assert_array_equal(noise.part(77, 0.3, 0.6)[0], noise.part(77, 0.3, 0.6)[0])


def test_a_short_sound_is_repeated() -> None:
    noise = noise_of(np.array([0.25, 0.5, 0.75]))
    samples = noise.part(8, 0.0, 0.4)[0]
    np.testing.assert_allclose(samples, [0.5, 0.75, 0.25, 0.5, 0.75, 0.25, 0.5, 0.75], atol=1e-4)


def test_a_pause_in_the_noise_stays_a_pause() -> None:
    """Faint samples of a loud recording are not raised to the level of speech."""
    sound = np.concatenate([np.full(1000, 1e-4), random_sound(1)])
    speech = random_sound(0.1).astype(np.float32)
    mixed = mix(speech, *noise_of(sound).part(len(speech), 0.0, 0.0), 0.0)
    assert power(mixed - speech) < 0.01 * power(speech)


def test_noise_without_speech_adds_nothing() -> None:
    silence = np.zeros(1000, np.float32)
    np.testing.assert_array_equal(mix(silence, *noise_of(random_sound(1)).part(1000, 0.0, 0.0), 10.0), silence)
    np.testing.assert_array_equal(mix(silence + 1, silence, 0.0, 10.0), silence + 1)


def test_the_digest_changes_with_a_sample_and_with_the_division_into_parts() -> None:
    sound = random_sound(0.1)
    changed = sound.copy()
    changed[7] += 0.001
    states = {noise_of(one).state() for one in (sound, changed)} | {noise_of(sound[:9], sound[9:]).state()}
    assert len(states) == 3 and noise_of(sound).state() == noise_of(sound.copy()).state()


def test_pink_noise_falls_by_3_db_an_octave() -> None:
    spectrum = np.square(np.abs(np.fft.rfft(pink(2**16, np.random.default_rng(0)))))
    octaves = [10 * math.log10(spectrum[2**k : 2 ** (k + 1)].mean()) for k in range(6, 15)]
    np.testing.assert_allclose(np.diff(octaves), -3.01, atol=0.9)
    assert len(pink(1, np.random.default_rng(0))) == 1


# Rooms


def mirrored(size: np.ndarray, source: np.ndarray, order: int) -> dict[tuple[float, ...], int]:
    """Mirror the source at the six walls, again and again: each image and the fewest reflections that lead to it."""
    images = {tuple(source.tolist()): 0}
    newest = [tuple(source.tolist())]
    for count in range(1, order + 1):
        found = []
        for image, axis, wall in itertools.product(newest, range(3), (0.0, 1.0)):
            mirror = list(image)
            mirror[axis] = 2 * wall * size[axis] - mirror[axis]
            key = tuple(round(value, 9) for value in mirror)
            if key not in images:
                images[key] = count
                found.append(key)
        newest = found
    return images


def test_mirror_images_by_mirroring_again_and_again() -> None:
    size, source, microphone = np.array([3.1, 2.3, 2.7]), np.array([1.0, 0.7, 1.2]), np.array([2.2, 1.9, 1.6])
    length, reflected = 200, 0.8  # 8.6 m: at most 4 reflections at a pair of walls 2.3 m apart
    expected = np.zeros(length)
    for image, count in mirrored(size, source, 12).items():
        distance = math.dist(image, microphone)
        sample = round(distance / 343.0 * RATE)
        if sample < length:
            expected[sample] += reflected**count / (4 * math.pi * distance)
    found = image_response(size, source, microphone, reflected=reflected, length=length, sample_rate=RATE)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.count_nonzero(found) > 40


def test_the_direct_sound_comes_first_and_the_late_sound_decays_in_the_time_asked_for() -> None:
    size, source, microphone = np.array([6.0, 5.0, 3.0]), np.array([1.0, 1.0, 1.5]), np.array([4.0, 3.0, 1.2])
    response = room_response(
        size, source, microphone, reverberation_time=0.6, sample_rate=16000, generator=np.random.default_rng(0)
    )
    distance = math.dist(source, microphone)
    assert np.flatnonzero(response)[0] == round(distance / 343 * 16000)
    assert response[np.flatnonzero(response)[0]] == pytest.approx(1 / (4 * math.pi * distance), rel=0.05)
    left = 10 * np.log10(np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1])
    start, end = (np.flatnonzero(left < left[0] - drop)[0] for drop in (10, 40))
    assert (end - start) / 16000 * 2 == pytest.approx(0.6, abs=0.05)


def test_reflections_follow_eyring() -> None:
    size = np.array([5.0, 4.0, 3.0])
    absorbed = 1 - reflection(size, 0.4) ** 2
    surface = 2 * (20 + 12 + 15)
    assert 24 * math.log(10) / 343 * 60 / (-surface * math.log(1 - absorbed)) == pytest.approx(0.4)


def test_early_and_late_sound_join_without_a_step() -> None:
    """The power of the random end follows that of the mirror images just before it, on average over rooms."""
    generator = np.random.default_rng(0)
    steps = []
    for _ in range(40):
        size = generator.uniform([4, 3, 2.5], [8, 6, 3.5])
        places = generator.uniform(0.5, size - 0.5, (2, 3))
        response = room_response(size, *places, reverberation_time=0.5, sample_rate=16000, generator=generator)
        border = round((math.dist(*places) / 343 + 0.05) * 16000)
        steps.append(power(response[border - 240 : border]) / power(response[border : border + 240]))
    assert 0 < 10 * math.log10(np.mean(steps)) < 3.5  # it decays by 1.8 dB from one middle to the other


def test_speech_in_a_room_keeps_length_power_and_time() -> None:
    speech = np.zeros(4000, np.float32)
    speech[1000] = 0.5
    wet = reverberate(speech, prepare_response(decaying(), RATE), RATE)
    assert len(wet) == len(speech) and wet.dtype == np.float32
    assert int(np.abs(wet).argmax()) == 1000 and power(wet) == pytest.approx(power(speech), rel=1e-4)
    assert np.abs(wet[:970]).max() < 1e-6 < np.abs(wet[1100:1500]).max()


def test_reverberation_is_convolution() -> None:
    speech, response = random_sound(0.5).astype(np.float32), prepare_response(decaying(), RATE)
    lead = round(0.0025 * RATE)
    expected = np.convolve(speech, response)[lead : lead + len(speech)]
    expected *= np.sqrt(power(speech) / power(expected))
    np.testing.assert_allclose(reverberate(speech, response, RATE), expected, atol=1e-5)
    silence = np.zeros(100, np.float32)
    np.testing.assert_array_equal(reverberate(silence, response, RATE), silence)


def test_a_response_is_cut_where_nothing_is_heard_any_more() -> None:
    response = prepare_response(np.concatenate([np.zeros(500), [0.5], np.zeros(5 * RATE)]).astype(np.float32), RATE)
    assert len(response) == round(0.0025 * RATE) + 1 and response[-1] == 1
    steady = np.concatenate([[1.0], np.full(5 * RATE, 0.1)]).astype(np.float32)
    assert len(prepare_response(steady, RATE)) == 2 * RATE


@pytest.mark.parametrize(
    ("samples", "fault"),
    [
        (np.zeros(1000), "all samples are 0"),
        (random_sound(0.5), "it does not fade out|of its energy lies before its loudest sample"),
        (decaying()[::-1], "of its energy lies before its loudest sample"),
        (np.concatenate([[1.0], 0.5 * np.ones(1000)]), "it does not fade out"),
    ],
)
def test_what_is_no_response_is_refused(tmp_path: Path, samples: np.ndarray, fault: str) -> None:
    write(tmp_path / "good.wav", decaying())
    write(tmp_path / "x.wav", samples)
    with pytest.raises(ConfigError, match=rf"augment\.rooms: .*x\.wav: is no impulse response of a room: .*({fault})"):
        read_rooms(tmp_path, RATE, setting="augment.rooms")


def test_a_long_recording_is_no_response(tmp_path: Path) -> None:
    write(tmp_path / "x.wav", random_sound(30))
    with pytest.raises(ConfigError, match=r"x\.wav: has 30 s, and is no impulse response of a room; or take the file"):
        read_rooms(tmp_path, RATE, setting="augment.rooms")


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_simulated_rooms_are_responses_and_equal_in_each_call(rate: int) -> None:
    rooms = simulate_rooms(rate, 20)
    lead = round(0.0025 * rate)
    for response in rooms._responses:  # the direct sound comes first, also where a reflection is louder
        assert np.flatnonzero(response)[0] == lead and response_fault(response[lead:], rate) != "it does not fade out"
    assert rooms.state() == simulate_rooms(rate, 20).state() != simulate_rooms(rate, 19).state()


def test_rooms_of_a_folder_and_simulated_ones(tmp_path: Path) -> None:
    stereo = np.stack([decaying(seed=1), decaying(seed=2)], axis=1)
    write(tmp_path / "a.wav", stereo)
    write(tmp_path / "b.wav", decaying(seed=3))
    rooms = open_rooms(tmp_path, RATE, setting="x")
    assert rooms.facts == f"2 responses of {tmp_path}"
    speech = random_sound(0.2).astype(np.float32)
    assert not np.array_equal(rooms.reverberate(speech, 0.1), rooms.reverberate(speech, 0.6))
    first = prepare_response(write_and_read(tmp_path / "c.wav", stereo[:, 0]), RATE)
    np.testing.assert_array_equal(rooms.reverberate(speech, 0.1), Rooms([first], RATE, "").reverberate(speech, 0.0))
    assert "100 simulated rooms" in open_rooms("simulated", RATE, setting="x").facts


def write_and_read(path: Path, samples: np.ndarray) -> np.ndarray:
    return soundfile.read(write(path, samples), dtype="float32")[0]
