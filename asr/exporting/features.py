"""The features as nodes of a graph: spectra by a convolution, without the operator STFT, which browsers lack."""

import numpy as np

from asr.exporting.graph import Graph
from asr.features import LEAST_VARIANCE, LOG_FLOOR, MFCC, LogMel, Spectrogram

_CENTRE = -7.0  # nats; near the mean of log energies, so that sums of squares lose no digits in float32


def log_spectrum(graph: Graph, features: Spectrogram, audio: str, lengths: str) -> tuple[str, str, str]:
    """Compute features before normalisation from `audio (B, N)`, `lengths (B,)`.

    Returns the bins of the spectrum, pitch bins ("" if there are none), and the lengths in frames.
    """
    audio = graph.op("Mul", audio, graph.mask(lengths, graph.size(audio, 1)))
    waveform = graph.op("Unsqueeze", audio, graph.integers(1))  # (B, 1, N)
    window, hop = features.window, features.hop
    before = features.n_fft // 2 - (features.n_fft - window) // 2  # samples of the window before its centre
    parts = graph.op(
        "Conv",
        waveform,
        _fourier(graph, features),
        name="spectrum",
        kernel_shape=[window],
        strides=[hop],
        pads=[before, window - before],
    )  # (B, 2 * (n_fft / 2 + 1), T)
    squares = graph.op("Mul", parts, parts)
    real, imaginary = graph.op("Split", squares, outputs=2, axis=1)
    power = graph.op("Transpose", graph.op("Add", real, imaginary), perm=[0, 2, 1])
    bands = power
    if isinstance(features, LogMel):
        bands = graph.op("MatMul", power, graph.constant(features.filters.numpy(force=True)), name="mel")
    spectrum = graph.op("Log", graph.op("Max", bands, graph.number(LOG_FLOOR)))
    if isinstance(features, MFCC):
        spectrum = graph.op("MatMul", spectrum, graph.constant(features.transform.numpy(force=True)), name="cepstrum")
    frames = graph.op("Add", graph.op("Div", lengths, graph.integers(hop)), graph.integers(1))
    return spectrum, _pitch(graph, features, power), frames


def _pitch(graph: Graph, features: Spectrogram, power: str) -> str:
    """Compute pitch bins `(B, T, K)` from a power spectrum `(B, T, n_fft / 2 + 1)`; "" if there are none."""
    if not features.pitch_bins:
        return ""
    root = graph.op("Sqrt", graph.op("Sqrt", graph.op("Max", power, graph.number(LOG_FLOOR))))
    matrix = graph.constant(features.autocorrelation.numpy(force=True))
    similarity = graph.op("MatMul", root, matrix, name="pitch")
    bins = graph.integers(features.pitch_bins)
    return graph.op("Div", graph.slice(similarity, 2, end=bins), graph.slice(similarity, 2, bins))


def utterance_level(graph: Graph, spectrum: str, frames: str) -> str:
    """Scale each utterance `(B, T, F)` to zero mean and unit variance over its real frames, `frames (B,)`."""
    mask = graph.op("Unsqueeze", graph.mask(frames, graph.size(spectrum, 1)), graph.integers(2))
    bins = graph.doubles(graph.size(spectrum, 2))
    counts = graph.op("Unsqueeze", graph.op("Mul", graph.doubles(frames), bins), graph.integers(1, 2))

    def mean(values: str) -> str:
        rows = graph.op("ReduceSum", values, graph.integers(2), keepdims=1)
        total = graph.op("ReduceSum", graph.doubles(rows), graph.integers(1), keepdims=1)  # float32 loses digits
        return graph.floats(graph.op("Div", total, counts))

    centred = graph.op("Mul", graph.op("Sub", spectrum, mean(graph.op("Mul", spectrum, mask))), mask)
    variance = mean(graph.op("Mul", centred, centred))
    return graph.op("Div", centred, graph.op("Sqrt", graph.op("Add", variance, graph.number(1e-5))))


def running_level(graph: Graph, features: Spectrogram, spectrum: str, sums: str) -> tuple[str, str]:
    """Scale each frame of `(B, T, F)` by the mean and variance of past frames; continue `sums (1, B, 3)`.

    Returns features and the sums after the last frame. The weighted sums are the state of a linear recurrent node.
    """
    centred = graph.op("Sub", spectrum, graph.number(_CENTRE))
    moments = graph.op(
        "Concat",
        graph.op(
            "Add", graph.op("Mul", graph.slice(centred, 2, end=graph.integers(1)), graph.number(0)), graph.number(1)
        ),
        graph.op("ReduceMean", centred, axes=[2], keepdims=1),
        graph.op("ReduceMean", graph.op("Mul", centred, centred), axes=[2], keepdims=1),
        axis=2,
    )  # (B, T, 3)
    identity = np.eye(3, dtype=np.float32)[None]
    outputs, last = graph.op(
        "RNN",
        graph.op("Transpose", moments, perm=[1, 0, 2]),
        graph.constant(identity),
        graph.constant(identity * np.float32(features.level_decay)),
        "",
        "",
        sums,
        name="level",
        outputs=2,
        hidden_size=3,
        activations=["Affine"],
        activation_alpha=[1.0],
        activation_beta=[0.0],
    )  # (T, 1, B, 3), (1, B, 3)
    totals = graph.op("Transpose", graph.op("Squeeze", outputs, graph.integers(1)), perm=[1, 0, 2])
    count, first, second = graph.op("Split", totals, outputs=3, axis=2)  # (B, T, 1) each
    mean = graph.op("Div", first, count)
    variance = graph.op("Sub", graph.op("Div", second, count), graph.op("Mul", mean, mean))
    deviation = graph.op("Sqrt", graph.op("Max", variance, graph.number(LEAST_VARIANCE)))
    return graph.op("Div", graph.op("Sub", centred, mean), deviation), last


def normalize_bins(graph: Graph, features: Spectrogram, spectrum: str, pitch: str) -> str:
    """Join the bins of the spectrum and pitch bins; scale each by its mean and deviation over the training data."""
    joined = graph.op("Concat", spectrum, pitch, axis=2) if pitch else spectrum
    mean, deviation = (
        graph.constant(tensor.numpy(force=True)) for tensor in (features.bin_mean, features.bin_deviation)
    )
    return graph.op("Div", graph.op("Sub", joined, mean), deviation)


def _fourier(graph: Graph, features: Spectrogram) -> str:
    """Return the windowed cosines and sines `(2 * (n_fft / 2 + 1), 1, window)` of the Fourier transform.

    The graph looks them up in a table of one period, because they would be a large part of a small file. ONNX Runtime
    does so once, while it loads the file.
    """
    size, bins = features.n_fft, features.n_fft // 2 + 1
    start = (size - features.window) // 2  # place of the window in the transform
    places = graph.constant(np.arange(start, start + features.window)[None], np.int64)
    turns = graph.op("Mul", graph.constant(np.arange(bins)[:, None], np.int64), places)
    cosines = graph.op("Mod", turns, graph.constant(size, np.int64))
    index = graph.op("Concat", cosines, graph.op("Add", cosines, graph.constant(size, np.int64)), axis=0)
    angles = 2 * np.pi / size * np.arange(size)
    table = graph.constant(np.concatenate([np.cos(angles), np.sin(angles)]), np.float32)
    waves = graph.op(
        "Mul", graph.op("Gather", table, index), graph.constant(features.window_function.numpy(force=True))
    )
    return graph.op("Unsqueeze", waves, graph.integers(1))
