"""Transcripts -> files: one module an output format, each with `render(transcript, recording) -> str`."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from asr.errors import AsrError
from asr.files import write_whole
from asr.transcript import Transcript
from asr.writers.clean import clean, writable

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
    """Split `"srt,TextGrid"` into names of FORMATS, given in any case. Raises AsrError that names a wrong one.

    An empty string names none.
    """
    known = {name.lower(): name for name in FORMATS}
    names = [name.strip() for name in value.split(",") if name.strip()]
    if value and not names:
        raise AsrError(f"-f {value}: names no output format; there are {', '.join(FORMATS)}")
    if wrong := [name for name in names if name.lower() not in known]:
        raise AsrError(f"-f {value}: {wrong[0]!r} is no output format; there are {', '.join(FORMATS)}")
    return tuple(known[name.lower()] for name in names)


def format_of(path: Path) -> str | None:
    """Return the format that the suffix of a path names, in any case, or None."""
    known = {name.lower(): name for name in FORMATS}
    return known.get(path.suffix.lower().removeprefix("."))


def write(transcript: Transcript, recording: Path, paths: Mapping[str, Path], *, eaf: Path | None = None) -> None:
    """Write the file of each format in `paths`, whole or not at all; folders are made.

    White space within a word becomes a space, and other control characters become U+FFFD: no format can hold them.
    `eaf` is the ELAN file that gets a new tier. Without it, the tier goes to a copy of the ELAN file beside the
    recording if there is one, else to a new ELAN file. Raises AsrError for a format that needs the times of words if
    the transcript has none, OutputError if a file cannot be written.
    """
    require_times(transcript, recording, paths)
    for name, path in paths.items():
        write_whole(path, render(transcript, recording, name, path, eaf=eaf).encode())


def require_times(transcript: Transcript, recording: Path, names: Iterable[str]) -> None:
    """Raise AsrError if one of the formats needs the times of words, and the transcript has none."""
    timed = [name for name in names if FORMATS[name]]
    if transcript.text and not transcript.words and timed:
        raise AsrError(
            f"{recording}: -f {','.join(timed)} needs the times of words, and a model without CTC (model.decoder: "
            "attention, model.ctc_weight: 0) does not have them; write txt or json, or train with model.decoder=joint"
        )


def render(transcript: Transcript, recording: Path, name: str, target: Path, *, eaf: Path | None = None) -> str:
    """Return the content of the file `target` in the format `name`: see `write`."""
    writer = import_module(f"asr.writers.{name.lower()}")
    options = (target, eaf) if name == "eaf" else ()
    return writable(writer.render(clean(transcript), recording, *options))


def save(transcript: Transcript, path: Path) -> None:
    """Write a transcript in the format that the suffix of `path` names. See `Transcript.save`."""
    name = format_of(path)
    if name is None:
        raise AsrError(f"{path}: its suffix names no output format; there are {', '.join(FORMATS)}")
    write(transcript, transcript.audio or path.with_suffix(".wav"), {name: path})


def output_paths(stem: Path, names: Sequence[str], channel: int | None = None) -> dict[str, Path]:
    """Return `stem.NAME` for each format, or `stem-CHANNEL.NAME` where each channel is transcribed by itself."""
    end = "" if channel is None else f"-{channel}"
    return {name: stem.with_name(f"{stem.name}{end}.{name}") for name in names}
