"""Pages in one file, which need no network: templates are filled, and pictures, recordings and scripts are inside."""

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import soundfile
import soxr

from asr.files import write_whole
from asr.writers.clean import writable

_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals["rows_at_once"] = 200  # rows of a sortable table that are shown before "Show more"


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill the template `templates/TEMPLATE` with `values`; write the page whole or not at all.

    U+FFFD stands for control characters, which HTML cannot hold.
    """
    write_whole(path, writable(_ENVIRONMENT.get_template(template).render(values)).encode())


def data_uri(kind: str, content: bytes) -> str:
    """Return `content` as a data URI of the media type `kind`: `data_uri("image/png", …)`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def audio_uri(samples: np.ndarray, sample_rate: int) -> str:
    """Return samples `(N,)` as an MP3 data URI. Every browser plays MP3, and it takes a tenth of the space of WAV."""
    if sample_rate not in _MP3_RATES:
        samples, sample_rate = soxr.resample(samples, sample_rate, 16000), 16000
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="MP3")
    return data_uri("audio/mpeg", file.getvalue())
