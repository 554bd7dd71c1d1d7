"""From a trained model to one ONNX file: waveforms in, log-probabilities out, and all that decoding needs."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import safetensors.numpy

from asr.errors import ConfigError
from asr.exporting.encoder import log_probs, recur, state_sizes, subsample
from asr.exporting.features import log_spectrum, normalize_bins, running_level, utterance_level
from asr.exporting.graph import Graph
from asr.files import to_json
from asr.model import SpeechModel
from asr.model_file import CTC_PREFIX, DESCRIPTION_KEY, FORMAT, TENSORS_KEY, TRANSDUCER_PREFIX
from asr.nn.attention import EncoderDecoder
from asr.nn.transducer import TransducerModel

_ALL = np.array([np.iinfo(np.int64).max])


def to_onnx(model: SpeechModel[Any]) -> bytes:
    """Return a model as the bytes of an ONNX file. Equal models give equal bytes.

    Inputs: `audio (B, N)` in float32 and `lengths (B,)` in samples. Outputs: `log_probs`, which are `(B, S, V)` of
    units or `(B, C)` of classes, and of a recogniser `frames (B,)`, the encoder frames of each recording. A model that
    can stream has more inputs and outputs, see `_stream`; a call without them computes whole recordings. A transducer
    also has the output `states (B, S, D)`, and its networks, which are no part of the graph, are in the metadata.

    Raises ConfigError for a model with an attention decoder, and for a transducer without CTC.
    """
    require_exportable(model)
    graph = Graph()
    audio = graph.input("audio", np.float32, ["B", "N"])
    lengths = graph.input("lengths", np.int64, ["B"])
    can_stream = model.features.level == "running" and not model.config.model.bidirectional
    vectors, frames = encode(graph, model, audio, lengths, streams=can_stream)
    outputs = log_probs(graph, model.acoustic_model, vectors, frames)
    if model.outputs_before:  # a recogniser has an output for each frame, a classifier one in all
        graph.output(outputs, "log_probs", np.float32, ["B", "S", len(model.symbols) + model.outputs_before])
        graph.output(frames, "frames", np.int64, ["B"])
        if isinstance(model.acoustic_model, TransducerModel):
            graph.output(vectors, "states", np.float32, ["B", "S", model.acoustic_model.size])
    else:
        graph.output(outputs, "log_probs", np.float32, ["B", len(model.symbols)])
    return graph.model(_metadata(model)).SerializeToString(deterministic=True)


def require_exportable(model: SpeechModel[Any]) -> None:
    """Raise ConfigError for a model with an attention decoder, and for a transducer without CTC."""
    if isinstance(model.acoustic_model, EncoderDecoder):
        raise ConfigError(
            "this model decodes with attention, step by step, which an exported file cannot; train a model with "
            "--set model.decoder=ctc, or use this one with `asr transcribe`"
        )
    if isinstance(model.acoustic_model, TransducerModel) and model.acoustic_model.output is None:
        raise ConfigError(
            "this transducer has no CTC output (model.ctc_weight: 0), by which an exported file is compared and times "
            "words; train one with --set model.ctc_weight=0.3"
        )


def require_best_path(model: SpeechModel[Any], option: str) -> None:
    """Raise ConfigError for a transducer, where `option` names an export that decodes CTC's log-probabilities."""
    if isinstance(model.acoustic_model, TransducerModel):
        raise ConfigError(
            f"{option}: decodes CTC's log-probabilities, and this model is a transducer; train a model with "
            "--set model.decoder=ctc, or export this one without the option"
        )


def encode(
    graph: Graph, model: SpeechModel[Any], audio: str, lengths: str, *, streams: bool = False
) -> tuple[str, str]:
    """Compute vectors `(B, S, D)` and lengths in frames from `audio (B, N)`, `lengths (B,)`.

    `streams` adds the inputs and outputs that a stream needs.
    """
    network, features = model.acoustic_model, model.features
    spectrum, pitch, frames = log_spectrum(graph, features, audio, lengths)
    if streams:
        vectors, frames = _stream(graph, model, spectrum, pitch, frames)
    else:
        if features.level == "running":
            sums = graph.op("Concat", graph.integers(1), graph.size(audio, 0), graph.integers(3), axis=0)
            zeros = graph.op("Expand", graph.constant(np.zeros((1, 1, 3), np.float32)), sums)
            spectrum, _ = running_level(graph, features, spectrum, zeros)
        else:
            spectrum = utterance_level(graph, spectrum, frames)
        x, frames = subsample(graph, network.subsampling, normalize_bins(graph, features, spectrum, pitch), frames)
        vectors, _ = recur(graph, network, x, frames, [[]] * len(network.layers))
    return vectors, frames


def _stream(graph: Graph, model: SpeechModel[Any], spectrum: str, pitch: str, frames: str) -> tuple[str, str]:
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

    def selected(name: str, values: Sequence[str], lengths: str) -> tuple[list[str], str]:
        bounds = graph.input(name, np.int64, [2], np.array([0, _ALL[0]]))
        first, end = graph.op("Split", bounds, outputs=2, axis=0)
        parts = [value and graph.slice(value, 1, first, end) for value in values]
        return parts, graph.op("Sub", graph.op("Min", lengths, end), first)

    (spectrum, pitch), frames = selected("spectra", [spectrum, pitch], frames)
    level = graph.input("level", np.float32, [1, "L", 3], np.zeros((1, 1, 3)))
    spectrum, sums = running_level(graph, features, spectrum, repeated(level, 1))
    new = normalize_bins(graph, features, spectrum, pitch)
    past = graph.input("past", np.float32, ["P1", "P", features.num_bins], np.zeros((1, 0, features.num_bins)))
    joined = graph.op("Concat", repeated(past, 0), new, axis=1)
    frames = graph.op("Add", frames, graph.size(past, 1))
    x, frames = subsample(graph, network.subsampling, joined, frames)
    (x,), frames = selected("new", [x], frames)
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
    if isinstance(network := model.acoustic_model, TransducerModel) and network.output is not None:
        arrays = network.transducer.arrays()
        tensors = {**tensors, **{f"{TRANSDUCER_PREFIX}{name}": array for name, array in arrays.items()}}
        for name, weight in network.output.state_dict().items():
            tensors[f"{CTC_PREFIX}{name}"] = weight.cpu().numpy()
    metadata = {DESCRIPTION_KEY: to_json({"format": FORMAT, **description})}
    if tensors:
        metadata[TENSORS_KEY] = base64.b64encode(safetensors.numpy.save(tensors)).decode()
    return metadata
