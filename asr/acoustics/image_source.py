"""Simulated rooms: the response from a mouth to a microphone in a rectangular room.

The direct sound and the first 50 ms of reflections are computed by mirror images of the source (Allen and Berkley 1979,
"Image method for efficiently simulating small-room acoustics"). After them, single reflections are too dense to be
heard. There the response is random noise with the power that mirror images have on average: `c / (4 pi V)` for each
second, falling by 60 dB in the reverberation time. All walls absorb equally at all frequencies. As in the article,
frequencies below 100 Hz are removed: there, images that all have one sign add up to more than sound does.
"""

import math

import numpy as np

SOUND = 343.0  # m/s, at 20 degrees
_EARLY = 0.05  # seconds of single reflections after the direct sound
_LOWEST = 100.0  # Hz


def room_response(
    size: np.ndarray,
    source: np.ndarray,
    microphone: np.ndarray,
    *,
    reverberation_time: float,
    sample_rate: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the impulse response `(N,)` between two places in a room, from the moment when the sound begins.

    `size`, `source` and `microphone` are `(3,)`, in metres. In `reverberation_time` seconds the sound falls by 60 dB.
    A reflection arrives at the sample that is nearest to its time.
    """
    from scipy.signal import butter, sosfilt  # a slow import

    volume = float(size.prod())
    reflected = reflection(size, reverberation_time)
    direct = math.dist(source, microphone) / SOUND
    length = round((direct + _EARLY) * sample_rate)
    early = image_response(size, source, microphone, reflected=reflected, length=length, sample_rate=sample_rate)
    times = np.arange(length, round((direct + reverberation_time) * sample_rate)) / sample_rate
    powers = SOUND / (4 * math.pi * volume * sample_rate) * 10 ** (-6 * times / reverberation_time)
    late = np.sqrt(powers) * generator.standard_normal(len(times))
    above = sosfilt(butter(2, _LOWEST, "high", fs=sample_rate, output="sos"), np.concatenate([early, late]))
    response: np.ndarray = above.astype(np.float32)
    return response


def reflection(size: np.ndarray, reverberation_time: float) -> float:
    """Return the share of the sound pressure that each wall reflects, by Eyring's formula."""
    x, y, z = size.tolist()
    surface = 2 * (x * y + y * z + x * z)
    return math.exp(-12 * math.log(10) * x * y * z / (SOUND * surface * reverberation_time))


def image_response(
    size: np.ndarray,
    source: np.ndarray,
    microphone: np.ndarray,
    *,
    reflected: float,
    length: int,
    sample_rate: int,
) -> np.ndarray:
    """Return `length` samples of the response by mirror images, float64; `reflected` is that of `reflection`."""
    reach = length / sample_rate * SOUND
    squares: np.ndarray = np.zeros((1, 1, 1))
    counts: np.ndarray = np.zeros((1, 1, 1), dtype=np.int64)
    for axis in range(3):
        rooms = np.arange(-math.ceil(reach / size[axis] / 2) - 1, math.ceil(reach / size[axis] / 2) + 2)
        # In one direction, the images of the source lie at 2 n L + s and at 2 n L - s.
        places = np.concatenate([2 * rooms * size[axis] + source[axis], 2 * rooms * size[axis] - source[axis]])
        walls = np.concatenate([np.abs(2 * rooms), np.abs(2 * rooms - 1)])
        shape = [len(places) if other == axis else 1 for other in range(3)]
        squares = squares + np.square(places - microphone[axis]).reshape(shape)
        counts = counts + walls.reshape(shape)
    distances = np.sqrt(squares).ravel()
    samples = np.rint(distances / SOUND * sample_rate).astype(np.int64)
    near = samples < length
    pressures = reflected ** counts.ravel()[near] / (4 * math.pi * distances[near])
    return np.bincount(samples[near], pressures, minlength=length)
