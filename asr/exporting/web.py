"""Export of a recogniser as a page: a folder for any static server, with which a browser transcribes by itself.

The page loads nothing from another address. The static files are in the folder `web`; `onnxruntime-web` from npm is in
`web/onnxruntime`, its WebAssembly module compressed.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy

from asr.decoding.decoder import Decoder
from asr.errors import ConfigError
from asr.exporting.export import verified
from asr.exporting.onnx import require_best_path
from asr.files import require_folder, to_json, write_whole
from asr.lengths import subsampling_look_ahead
from asr.recognition.recognizer import Recognizer
from asr.recognition.trained_lengths import piece_lengths

MODEL_FILE, DESCRIPTION_FILE, DECODER_FILE = "model.onnx", "model.json", "decoder.safetensors"
_STATIC = Path(__file__).with_name("web")
_FIRST_PAGE = "index.html"


def export_page(
    model: Recognizer,
    folder: str | Path,
    *,
    waveforms: Sequence[np.ndarray] | None = None,
    texts: Sequence[str] | None = None,
    int8: bool = False,
    force: bool = False,
    report: Callable[[str], None] = print,
) -> None:
    """Write a folder with a page that transcribes recordings and speech with a model.

    Each file is written whole, `index.html` last. The page decodes with the n-grams of the model, if it has any, and
    without recurrent language models, which `report` says. The other arguments and the errors are those of `verified`;
    ConfigError is also raised for a model that needs equalised recordings, and for a transducer.
    """
    if model.equalizes:
        raise ConfigError(
            "this model needs equalised recordings (features.equalize), and the page has no equaliser; train a model "
            "with --set features.equalize=false, or use this one with `asr transcribe`"
        )
    require_best_path(model, "--web")
    folder = Path(folder)
    require_folder(folder)
    content, _ = verified(model, waveforms=waveforms, texts=texts, int8=int8, force=force, report=report)
    decoder = _ngrams(model.decoder, report)
    files = {
        MODEL_FILE: for_browsers(content),
        DESCRIPTION_FILE: to_json(describe(model, decoder), indent=1).encode(),
        **({} if decoder is None else {DECODER_FILE: safetensors.numpy.save(decoder_tensors(decoder))}),
        **_static_files(),
    }
    for name, part in files.items():
        write_whole(folder / name, part)
    report(
        f"{folder}: {sum(map(len, files.values())) / 1e6:.1f} MB; show it with: python3 -m http.server -d {folder}, "
        "then open http://localhost:8000"
    )


def for_browsers(content: bytes) -> bytes:
    """Return an exported model for ONNX Runtime Web, which needs the inputs of a stream in each call.

    It cannot set inputs that have a default. Metadata is left out: the page reads `model.json`.
    """
    model = onnx.load_from_string(content)
    inputs = {one.name for one in model.graph.input}
    constants = [one for one in model.graph.initializer if one.name not in inputs]
    del model.graph.initializer[:], model.metadata_props[:]
    model.graph.initializer.extend(constants)
    return model.SerializeToString(deterministic=True)


def describe(model: Recognizer, decoder: Decoder | None) -> dict[str, Any]:
    """Return what the page must know of a model, for `model.json`; `decoder` has n-grams alone."""
    network, text = model.config.model, model.config.text
    streams = model.features.level == "running" and not network.bidirectional
    return {
        "sample_rate": model.sample_rate,  # Hz
        "stride": model.stride,  # samples of an encoder frame
        "lengths": asdict(piece_lengths(model.trained_lengths, utterance=False)),  # seconds
        "units": model.symbols,
        "separator": " " if model.units.kind == "phones" else "",
        "text": {name: getattr(text, name) for name in ("lower", "strip_punctuation", "keep_inside_words")},
        "stream": {
            "hop": model.features.hop,  # samples
            "window": model.features.window,  # samples
            "factor": network.subsampling,
            "look_ahead": subsampling_look_ahead(network.frontend, network.subsampling),
        }
        if streams
        else None,
        "decoder": decoder
        and {
            "weights": decoder.weights._asdict(),
            "pruning": decoder.pruning._asdict(),
            "closed": decoder.fusion.closed,
            "space": decoder.fusion.space,
            "start": decoder.fusion.start,
        },
        "facts": [fact for fact in model.facts() if fact != str(model.device)],
    }


def decoder_tensors(decoder: Decoder) -> dict[str, np.ndarray]:
    """Return the arrays of the search in the form that `asr.decoding.fusion` computes with, int32 and float32."""
    fusion = decoder.fusion
    return {
        "token": fusion.token,
        **{
            f"{name}.{field}": array
            for name in ("words", "characters", "lexicon")
            for field, array in getattr(fusion, name)._asdict().items()
        },
    }


def _ngrams(decoder: Decoder | None, report: Callable[[str], None]) -> Decoder | None:
    """Return the decoder with n-grams alone; None if it has none."""
    if decoder is None:
        return None
    if decoder.recurrent is not None or decoder.rescorer is not None:
        report("the page leaves the recurrent language model out; `asr transcribe` uses it")
    return decoder.without_recurrent() if any(decoder.models.values()) else None


def _static_files() -> dict[str, bytes]:
    """Return the files of the page that all models share, by their paths; `index.html` is the last one."""
    paths = sorted((path for path in _STATIC.rglob("*") if path.is_file()), key=lambda path: path.name == _FIRST_PAGE)
    return {path.relative_to(_STATIC).as_posix(): path.read_bytes() for path in paths}
