"""Streaming: tell from the settings of a model, without torch, if it can stream, and its latency."""

from collections.abc import Mapping
from typing import Any

from asr.errors import ConfigError
from asr.lengths import hop_samples, subsampling_look_ahead, window_samples

Settings = Mapping[str, Mapping[str, Any]]  # the sections of a configuration: Config.model_dump(), or of a model file

_STREAMING = ("ctc", "transducer")  # decoders that need no later frame
_NEEDED = {  # setting: the value that streaming needs, and what another value means
    ("model", "bidirectional"): (
        False,
        "it reads utterances in both directions, and one direction begins at their end",
    ),
    ("features", "level"): ("running", "it normalises the level over whole utterances"),
    ("features", "equalize"): (False, "it equalises the spectrum of whole recordings"),
}


def require_streamable(settings: Settings) -> None:
    """Raise ConfigError, which tells how to train a model that can stream, if a model of these settings cannot."""
    faults = {
        f"--set {section}.{name}={str(value).lower()}": meaning
        for (section, name), (value, meaning) in _NEEDED.items()
        if settings[section][name] != value
    }
    model = settings["model"]
    if model["decoder"] not in _STREAMING:
        faults["--set model.decoder=ctc"] = "its attention looks at whole utterances"
    elif model["decoder"] == "transducer" and not model["ctc_weight"]:
        faults["--set model.ctc_weight=0.3"] = "it has no CTC output, by which a stream times words"
    if faults:
        raise ConfigError(
            f"this model cannot stream: {' and '.join(faults.values())}; train one that can: "
            f"asr train CONFIG {' '.join(faults)}"
        )


def latency(settings: Settings) -> float:
    """Return the seconds of sound after the middle of an encoder frame that the frame is computed from."""
    features, model = settings["features"], settings["model"]
    look_ahead = subsampling_look_ahead(model["frontend"], model["subsampling"])
    samples = look_ahead * hop_samples(features["sample_rate"], features["hop_ms"])
    return (samples + window_samples(features["sample_rate"], features["window_ms"]) // 2) / features["sample_rate"]


def describe(settings: Settings) -> str:
    """Describe in one line how a model of these settings streams, or why it cannot."""
    try:
        require_streamable(settings)
    except ConfigError as error:
        return str(error)
    rate = settings["features"]["sample_rate"]
    stride = hop_samples(rate, settings["features"]["hop_ms"]) * settings["model"]["subsampling"] / rate
    return f"a frame every {1000 * stride:.0f} ms, {1000 * latency(settings):.0f} ms after its middle"
