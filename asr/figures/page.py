"""Pages that need nothing else, no network and no scripts: templates filled, sounds inside them."""

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import soundfile
import soxr

from asr.files import write_whole

_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fills a template of `templates/`, and writes it whole or not at all."""
    write_whole(path, _ENVIRONMENT.get_template(template).render(values).encode())


def data_uri(kind: str, content: bytes) -> str:
    """What a page takes in place of an address: `data_uri("image/png", …)`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def audio_uri(samples: np.ndarray, sample_rate: int) -> str:
    """Samples `(N,)` as MP3, which every browser plays, at a tenth of the size of WAV."""
    if sample_rate not in _MP3_RATES:
        samples, sample_rate = soxr.resample(samples, sample_rate, 16000), 16000
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="MP3")
    return data_uri("audio/mpeg", file.getvalue())
