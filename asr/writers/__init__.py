"""Transcripts -> files: one module an output format, each with `render(transcript, recording) -> str`."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from asr.errors import AsrError
from asr.transcript import Transcript

FORMATS = ("txt", "json", "jsonl", "srt", "vtt", "tsv", "ctm", "TextGrid", "eaf")
_UNTIMED = ("txt", "json")


def parse_formats(value: str) -> tuple[str, ...]:
    """`"srt,TextGrid"` -> names out of FORMATS, in whatever case they are given. Raises AsrError naming a wrong one."""
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
    """Writes one file for each format, whole or not at all, into folders it makes.

    `eaf` is the ELAN file that gets a tier; without it, one beside the recording if there is one, else a new one.
    Raises AsrError for a format that tells when words are said, if the transcript does not.
    """
    if transcript.text and not transcript.words and (timed := [name for name in formats if name not in _UNTIMED]):
        raise AsrError(
            f"{recording}: -f {','.join(timed)} needs the times of words, and a model without CTC (model.decoder: "
            "attention) does not tell them; write txt or json, or train with model.decoder=joint"
        )
    stem.parent.mkdir(parents=True, exist_ok=True)
    for name in formats:
        path = output_path(stem, name, channel)
        if name == "eaf":
            from asr.writers.eaf import render_eaf

            text = render_eaf(transcript, recording, path, eaf)
        else:
            text = import_module(f"asr.writers.{name.lower()}").render(transcript, recording)
        draft = path.with_name(path.name + ".part")
        draft.write_text(text, encoding="utf-8", newline="")
        draft.replace(path)


def output_path(stem: Path, name: str, channel: int | None = None) -> Path:
    """`stem.name`, or `stem-channel.name` where each channel is transcribed by itself."""
    return stem.with_name(stem.name + ("" if channel is None else f"-{channel}") + f".{name}")
