"""Transcripts -> files: one module an output format, each with `render(transcript, recording) -> str`."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from asr.errors import AsrError
from asr.files import write_whole
from asr.transcript import Transcript

FORMATS = {  # name, which is the suffix of its files: whether it needs the times of words
    "txt": False,
    "json": False,
    "jsonl": True,
    "srt": True,
    "vtt": True,
    "tsv": True,
    "ctm": True,
    "TextGrid": True,
    "eaf": True,
}


def parse_formats(value: str) -> tuple[str, ...]:
    """Split `"srt,TextGrid"` into names of FORMATS, given in any case. Raises AsrError that names a wrong one."""
    known = {name.lower(): name for name in FORMATS}
    names = [name.strip() for name in value.split(",") if name.strip()]
    if wrong := [name for name in names if name.lower() not in known]:
        raise AsrError(f"-f {value}: {wrong[0]!r} is no output format; there are {', '.join(FORMATS)}")
    return tuple(known[name.lower()] for name in names)


def write(
    transcript: Transcript,
    recording: Path,
    stem: Path,
    formats: Sequence[str],
    *,
    channel: int | None = None,
    eaf: Path | None = None,
) -> None:
    """Write one file `stem.FORMAT` for each format, whole or not at all; folders are made.

    `eaf` is the ELAN file that gets a new tier. Without it, the tier goes to a copy of the ELAN file beside the
    recording if there is one, else to a new ELAN file. Raises AsrError for a format that needs the times of words if
    the transcript has none.
    """
    _require_times(transcript, recording, formats)
    for name in formats:
        _write(transcript, recording, output_path(stem, name, channel), name, eaf)


def save(transcript: Transcript, path: Path) -> None:
    """Write a transcript in the format that the suffix of `path` names. See `Transcript.save`."""
    known = {name.lower(): name for name in FORMATS}
    name = known.get(path.suffix.lower().removeprefix("."))
    if name is None:
        raise AsrError(f"{path}: its suffix names no output format; there are {', '.join(FORMATS)}")
    recording = transcript.audio or path.with_suffix(".wav")
    _require_times(transcript, recording, [name])
    _write(transcript, recording, path, name, None)


def output_path(stem: Path, name: str, channel: int | None = None) -> Path:
    """Return `stem.name`, or `stem-channel.name` where each channel is transcribed by itself."""
    return stem.with_name(stem.name + ("" if channel is None else f"-{channel}") + f".{name}")


def _require_times(transcript: Transcript, recording: Path, formats: Sequence[str]) -> None:
    if transcript.text and not transcript.words and (timed := [name for name in formats if FORMATS[name]]):
        raise AsrError(
            f"{recording}: -f {','.join(timed)} needs the times of words, and a model without CTC (model.decoder: "
            "attention) does not have them; write txt or json, or train with model.decoder=joint"
        )


def _write(transcript: Transcript, recording: Path, path: Path, name: str, eaf: Path | None) -> None:
    writer = import_module(f"asr.writers.{name.lower()}")
    text = writer.render(transcript, recording, path, eaf) if name == "eaf" else writer.render(transcript, recording)
    write_whole(path, text.encode())
