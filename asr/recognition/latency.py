"""Whether a model can stream, and how far behind the sound it is: from its configuration alone, without torch."""

from asr.config import Config
from asr.errors import ConfigError
from asr.lengths import hop_samples, subsampling_look_ahead, window_samples

_NEEDED = {  # setting: the value that streaming needs, and what any other value makes of the model
    "model.bidirectional": (False, "it reads utterances in both directions, and one direction begins at their end"),
    "model.decoder": ("ctc", "its attention looks at whole utterances"),
    "features.level": ("running", "it normalises the level over whole utterances"),
    "features.equalize": (False, "it equalises the spectrum of whole recordings"),
}


def require_streamable(config: Config) -> None:
    """Raise ConfigError, which tells how to train a model that can stream, if a model of this configuration cannot."""
    found = config.model_dump()
    faults = {}
    for key, (value, reason) in _NEEDED.items():
        section, name = key.split(".")
        if found[section][name] != value:
            faults[f"--set {key}={str(value).lower()}"] = reason
    if faults:
        raise ConfigError(
            f"this model cannot stream: {' and '.join(faults.values())}; train one that can: "
            f"asr train CONFIG {' '.join(faults)}"
        )


def latency(config: Config) -> float:
    """Return the seconds of sound after the middle of an encoder frame that the frame is computed from."""
    features, model = config.features, config.model
    look_ahead = subsampling_look_ahead(model.frontend, model.subsampling)
    samples = look_ahead * hop_samples(features.sample_rate, features.hop_ms)
    return (samples + window_samples(features.sample_rate, features.window_ms) // 2) / features.sample_rate


def describe(config: Config) -> str:
    """Describe in one line how a model of this configuration streams, or why it cannot."""
    try:
        require_streamable(config)
    except ConfigError as error:
        return str(error)
    features = config.features
    stride = hop_samples(features.sample_rate, features.hop_ms) * config.model.subsampling / features.sample_rate
    return f"a frame every {1000 * stride:.0f} ms, {1000 * latency(config):.0f} ms after its middle"
