"""From a trained model to one ONNX file: waveforms in, log-probabilities out, and all that decoding needs."""

import base64
from typing import Any

import numpy as np
import safetensors.numpy

from asr.errors import ConfigError
from asr.exporting.encoder import log_probs, recur, state_sizes, subsample
from asr.exporting.features import log_spectrum, normalize_bins, running_level, utterance_level
from asr.exporting.graph import Graph
from asr.files import to_json
from asr.model import SpeechModel
from asr.model_file import DESCRIPTION_KEY, FORMAT, TENSORS_KEY
from asr.nn.autoregressive import AutoregressiveModel

_ALL = np.array([np.iinfo(np.int64).max])


def to_onnx(model: SpeechModel[Any]) -> bytes:
    """Return a model as the bytes of an ONNX file. Equal models give equal bytes.

    Inputs: `audio (B, N)` in float32 and `lengths (B,)` in samples. Outputs: `log_probs`, which are `(B, S, V)` of
    units or `(B, C)` of classes, and of a recogniser `frames (B,)`, the encoder frames of each recording. A model that
    can stream has more inputs and outputs, see `_stream`; a call without them computes whole recordings.

    Raises ConfigError for a model with an attention decoder or a transducer.
    """
    require_exportable(model)
    graph = Graph()
    audio = graph.input("audio", np.float32, ["B", "N"])
    lengths = graph.input("lengths", np.int64, ["B"])
    can_stream = model.features.level == "running" and not model.config.model.bidirectional
    outputs, frames = compute(graph, model, audio, lengths, streams=can_stream)
    if model.outputs_before:  # a recogniser has an output for each frame, a classifier one in all
        graph.output(outputs, "log_probs", np.float32, ["B", "S", len(model.symbols) + model.outputs_before])
        graph.output(frames, "frames", np.int64, ["B"])
    else:
        graph.output(outputs, "log_probs", np.float32, ["B", len(model.symbols)])
    return graph.model(_metadata(model)).SerializeToString(deterministic=True)


def require_exportable(model: SpeechModel[Any]) -> None:
    """Raise ConfigError for a model with an attention decoder or a transducer, which write unit after unit."""
    if isinstance(model.acoustic_model, AutoregressiveModel):
        name = (
            "is a transducer, which writes" if model.config.model.decoder == "transducer" else "decodes with attention,"
        )
        raise ConfigError(
            f"this model {name} step by step, which an exported file cannot; train a model with "
            "--set model.decoder=ctc, or use this one with `asr transcribe`"
        )


def compute(
    graph: Graph, model: SpeechModel[Any], audio: str, lengths: str, *, streams: bool = False
) -> tuple[str, str]:
    """Compute log-probabilities `(B, S, V)` or `(B, C)` and lengths in frames from `audio (B, N)`, `lengths (B,)`.

    `streams` adds the inputs and outputs that a stream needs.
    """
    network, features = model.acoustic_model, model.features
    spectrum, frames = log_spectrum(graph, features, audio, lengths)
    if streams:
        vectors, frames = _stream(graph, model, spectrum, frames)
    else:
        if features.level == "running":
            sums = graph.op("Concat", graph.integers(1), graph.size(audio, 0), graph.integers(3), axis=0)
            zeros = graph.op("Expand", graph.constant(np.zeros((1, 1, 3), np.float32)), sums)
            spectrum, _ = running_level(graph, features, spectrum, zeros)
        else:
            spectrum = utterance_level(graph, spectrum, frames)
        x, frames = subsample(graph, network.subsampling, normalize_bins(graph, features, spectrum), frames)
        vectors, _ = recur(graph, network, x, frames, [[]] * len(network.layers))
    return log_probs(graph, network, vectors, frames), frames


def _stream(graph: Graph, model: SpeechModel[Any], spectrum: str, frames: str) -> tuple[str, str]:
    """Add what a stream needs: parts of a recording one after the other give the vectors of the whole.

    A call gives the samples that new frames see. Inputs, all optional: `spectra` (first and end) selects the new
    spectra of the call; `level` continues the sums of the running level; `past (1, P, F)` are features before the new
    ones, that subsampling sees; `new` (first and end) selects the new encoder frames; `state_L_I` are the states of the
    recurrent layers. Outputs of the same names with `next_` in front continue the stream; `features` are the new ones.
    """
    network, features = model.acoustic_model, model.features
    batch = graph.size(spectrum, 0)

    def repeated(value: str, axis: int) -> str:
        """Repeat a state of one recording, the default, for all recordings of a batch."""
        shape = graph.op("Concat", *(batch if at == axis else graph.size(value, at) for at in range(3)), axis=0)
        return graph.op("Expand", value, shape)

    def selected(name: str, value: str, lengths: str) -> tuple[str, str]:
        bounds = graph.input(name, np.int64, [2], np.array([0, _ALL[0]]))
        first, end = graph.op("Split", bounds, outputs=2, axis=0)
        return graph.slice(value, 1, first, end), graph.op("Sub", graph.op("Min", lengths, end), first)

    spectrum, frames = selected("spectra", spectrum, frames)
    level = graph.input("level", np.float32, [1, "L", 3], np.zeros((1, 1, 3)))
    spectrum, sums = running_level(graph, features, spectrum, repeated(level, 1))
    new = normalize_bins(graph, features, spectrum)
    past = graph.input("past", np.float32, ["P1", "P", features.num_bins], np.zeros((1, 0, features.num_bins)))
    joined = graph.op("Concat", repeated(past, 0), new, axis=1)
    frames = graph.op("Add", frames, graph.size(past, 1))
    x, frames = subsample(graph, network.subsampling, joined, frames)
    x, frames = selected("new", x, frames)
    states = [
        [
            repeated(
                graph.input(
                    f"state_{layer}_{index}", np.float32, [1, f"B{layer}_{index}", size], np.zeros((1, 1, size))
                ),
                1,
            )
            for index, size in enumerate(sizes)
        ]
        for layer, sizes in enumerate(state_sizes(network))
    ]
    vectors, final = recur(graph, network, x, frames, states)
    graph.output(new, "features", np.float32, ["B", "T", features.num_bins])
    graph.output(sums, "next_level", np.float32, [1, "B", 3])
    for layer, last in enumerate(final):
        for index, (state, size) in enumerate(zip(last, state_sizes(network)[layer], strict=True)):
            graph.output(state, f"next_state_{layer}_{index}", np.float32, [1, "B", size])
    return vectors, frames


def _metadata(model: SpeechModel[Any]) -> dict[str, str]:
    """Return what a model file holds beside weights: its description, and tensors such as those of language models."""
    description, tensors = model.description(), model.parts()[0]
    metadata = {DESCRIPTION_KEY: to_json({"format": FORMAT, **description})}
    if tensors:
        metadata[TENSORS_KEY] = base64.b64encode(safetensors.numpy.save(tensors)).decode()
    return metadata
