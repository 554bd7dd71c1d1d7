"""The verdicts of a check: severity and cure of each, and the rules that find them in lines, files and splits."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from asr.audio import AUDIO_SUFFIXES
from asr.corpus.check_audio import Inspection
from asr.corpus.check_text import Character, Scripts, hidden_characters
from asr.corpus.manifest import SUFFIXES, scan_manifest
from asr.corpus.overlaps import overlaps
from asr.errors import ManifestError
from asr.lengths import required_frames, resampled_length
from asr.text import describe_characters
from asr.utterance import Utterance

UNUSABLE, SUSPECT = "unusable", "suspect"
# The severity and the cure of each verdict, in the order of the report.
VERDICTS = {
    "bad line": (UNUSABLE, "correct the line"),
    "missing audio": (UNUSABLE, "correct the path, or remove the line"),
    "unreadable": (UNUSABLE, "copy the file again from its source, or convert it to WAV"),
    "zero length": (UNUSABLE, "copy or record it again, or correct the line's duration"),
    "header only": (UNUSABLE, "record or export it again"),
    "truncated": (UNUSABLE, "copy it again from its source"),
    "beyond the end": (UNUSABLE, "correct the line's offset and duration, or copy the file again"),
    "silent": (UNUSABLE, "record it again, or remove the line"),
    "inverted channel": (UNUSABLE, "keep one channel, or invert one of them"),
    "audio without transcript": (UNUSABLE, "transcribe it, or remove the line"),
    "empty transcript": (
        UNUSABLE,
        "transcribe it, or remove the line; if it has no speech, data.train_on_empty=true uses it",
    ),
    "infeasible for CTC": (UNUSABLE, "check the text against the audio, or lower model.subsampling"),
    "doubtful length": (SUSPECT, "compare it with its source; all that the file holds is used"),
    "clipped": (SUSPECT, "record it again with less gain, if you can"),
    "coarse steps": (SUSPECT, "use the 16-bit original, if there is one; the lost bits became noise"),
    "DC offset": (SUSPECT, "subtract the mean, and check the sound card"),
    "dead channel": (SUSPECT, "keep the other channel"),
    "low sample rate": (SUSPECT, "lower features.sample_rate to that of most recordings"),
    "hidden characters": (SUSPECT, "delete them from the text"),
    "look-alike letters": (SUSPECT, "replace the letter by the one of the other script that looks like it"),
    "unusual speed": (SUSPECT, "check the text against the audio"),
    "no words": (SUSPECT, "transcribe it, if it has speech: data.train_on_empty takes it for noise or silence"),
    "overlapping speech": (SUSPECT, "expect one text for two voices: leave one out, or keep it knowingly"),
    "duplicate audio": (SUSPECT, "keep it in one place"),
    "duplicate text": (SUSPECT, "keep each text in one split, or report it with the score"),
    "shared speaker": (SUSPECT, "keep each speaker in one split, or report it with the score"),
    "unlisted audio": (SUSPECT, "add lines for it, or ignore this"),
}
# A model can be scored on these lines, although it cannot learn from them. Outside training they are only suspect.
SCORABLE = ("silent", "inverted channel", "infeasible for CTC")

SILENT_RMS = 1e-4  # share of full scale: -80 dB, three steps of 16 bits
CLIPPED_SHARE, CLIPPED_PEAK = 1e-3, 0.5  # shares of samples and of full scale; below, coarse steps look like clipping
COARSE_BITS = 8
DC_OFFSET = 0.01  # share of full scale
DEAD_BALANCE = 0.01  # share of the level of the other channel: -40 dB
INVERTED_CORRELATION = -0.5
CLOSED_SET = 0.5  # share of a split's texts; if more are repeated, the corpus repeats its texts on purpose


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict on a line, a file or a split."""

    verdict: str
    severity: str
    found: str
    manifest: Path | None = None
    line: int | None = None
    id: str | None = None
    file: Path | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def cure(self) -> str:
        return VERDICTS[self.verdict][1]

    def __str__(self) -> str:
        place = f"{self.manifest}:{self.line}" if self.line else str(self.manifest)
        if self.file is None:
            return f"{place}: {self.found}"
        return f"{self.file}{f' ({place})' if self.manifest else ''}: {self.found}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that can be read, with its normalised text and, after inspection, the figures of its audio."""

    split: str
    is_training: bool
    manifest: Path
    line: int
    utterance: Utterance
    text: str
    inspection: Inspection = field(default_factory=Inspection)

    @property
    def place(self) -> str:
        return f"{self.manifest}:{self.line}"

    @property
    def speed(self) -> float:
        """Return the characters per second; 0 without a text or without audio."""
        figures = self.inspection.figures
        return len(self.text) / figures.duration if figures else 0.0

    def finding(self, verdict: str, found: str) -> Finding:
        """Return a verdict on this line."""
        severity = VERDICTS[verdict][0] if self.is_training or verdict not in SCORABLE else SUSPECT
        figures = asdict(self.inspection.figures) if self.inspection.figures else {}
        utterance = self.utterance
        return Finding(verdict, severity, found, self.manifest, self.line, utterance.id, utterance.audio, figures)


def audio_faults(entry: Entry, sample_rate: int) -> Iterator[tuple[str, str]]:
    """Yield `(verdict, found)` for the audio of a line, for a model with this sample rate (Hz)."""
    figures = entry.inspection.figures
    if figures is None:
        yield entry.inspection.fault, entry.inspection.message
        return
    if not resampled_length(figures.num_samples, figures.sample_rate, sample_rate):
        at_model_rate = f"less than one sample at {sample_rate} Hz"
        yield "zero length", f"{figures.num_samples} samples at {figures.sample_rate} Hz are {at_model_rate}"
    if figures.correlation < INVERTED_CORRELATION:
        yield "inverted channel", f"its channels correlate at {figures.correlation:.2f}, so their mean cancels them"
    elif figures.rms < SILENT_RMS:
        yield "silent", f"its level is {decibels(figures.rms)}"
        return
    if figures.balance < DEAD_BALANCE:
        yield "dead channel", f"one of its {figures.channels} channels is at {decibels(figures.balance)} of the loudest"
    if figures.doubt:
        yield "doubtful length", figures.doubt
    if figures.clipped > CLIPPED_SHARE and figures.peak > CLIPPED_PEAK:
        yield "clipped", f"{100 * figures.clipped:.1f} % of its samples are cut off at {decibels(figures.peak)}"
    if figures.bits <= COARSE_BITS:
        yield "coarse steps", f"its samples use {figures.bits} of 16 bits"
    if abs(figures.dc_offset) > DC_OFFSET:
        yield "DC offset", f"its mean is {100 * figures.dc_offset:+.1f} % of full scale"
    if figures.sample_rate < sample_rate:
        yield "low sample rate", f"{figures.sample_rate} Hz, but the model needs {sample_rate} Hz"


def text_faults(
    entry: Entry, scripts: Scripts, text_field: str, *, allow_empty: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield `(verdict, found)` for the transcript of a line; with `allow_empty`, an empty text is that of noise."""
    text = entry.utterance.text
    if text is None:
        yield "audio without transcript", f"the line has no {text_field}"
        return
    if not entry.text:
        yield "no words" if allow_empty else "empty transcript", f"the text is {text!r}"
    if hidden := hidden_characters(text):
        yield "hidden characters", f"the text holds {describe_characters(hidden)}"
    mixed = {word: letter for word, letter in scripts.foreign_letters(entry.text) if scripts.is_look_alike(letter)}
    if mixed:
        word, letter = next(iter(mixed.items()))
        row = Character(letter)
        yield "look-alike letters", f"in {word!r}, {letter!r} is {row.code_points} {row.name}"


def ctc_faults(units: Sequence[str], frames: int) -> Iterator[tuple[str, str]]:
    """Yield `(verdict, found)` if `units` do not fit into `frames` encoder frames: `S >= L + repeats` is required."""
    if frames < (needed := required_frames(units)):
        counted = f"{len(units)} units + {needed - len(units)} repeats need {needed} frames"
        yield "infeasible for CTC", f"{counted}, the audio gives {frames}"


def duplicate_audio(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield a finding for each line with the samples of an earlier line, or overlapping a part in another split."""
    first: dict[str, Entry] = {}
    files: dict[Path, list[Entry]] = defaultdict(list)
    for entry in entries:
        figures = entry.inspection.figures
        if figures is None or figures.rms < SILENT_RMS:
            continue
        original = first.setdefault(figures.content, entry)
        if original is entry:
            files[entry.utterance.audio].append(entry)
        else:
            text = "" if original.text == entry.text else ", with another text"
            across = f", in {original.split} and {entry.split}" if original.split != entry.split else ""
            yield entry.finding("duplicate audio", f"has the audio of {original.place}{across}{text}")
    for parts in files.values():
        ends: dict[str, tuple[float, Entry]] = {}
        for entry in sorted(parts, key=lambda entry: entry.utterance.offset):
            for split, (end, other) in ends.items():
                if split != entry.split and end > entry.utterance.offset:
                    yield entry.finding("duplicate audio", f"overlaps {other.place}, in {split} and {entry.split}")
            figures = entry.inspection.figures
            end = entry.utterance.offset + (figures.duration if figures else 0.0)
            ends[entry.split] = max(ends.get(entry.split, (0.0, entry)), (end, entry), key=lambda pair: pair[0])


def overlapping_speech(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield a finding for each line that overlaps earlier parts of its recording in its own split."""
    parts = [entry for entry in entries if entry.inspection.figures is not None]
    for split in dict.fromkeys(entry.split for entry in parts):
        rows = [entry for entry in parts if entry.split == split]
        ends = [entry.inspection.figures.duration for entry in rows if entry.inspection.figures]
        utterances = [replace(row.utterance, duration=duration) for row, duration in zip(rows, ends, strict=True)]
        for overlap in overlaps(utterances):
            entry, other = rows[overlap.later], rows[overlap.earlier]
            if _content(entry) == _content(other):
                continue  # duplicate audio
            more = f" and {overlap.count - 1} more lines" if overlap.count > 1 else ""
            speakers = ", of another speaker" if entry.utterance.speaker != other.utterance.speaker else ""
            yield entry.finding("overlapping speech", f"overlaps {other.place}{speakers}{more}")


def _content(entry: Entry) -> str | None:
    return entry.inspection.figures.content if entry.inspection.figures else None


def duplicate_texts(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield a finding for each text that is also in an earlier split.

    A split that repeats most of its texts has one finding for all of them, because the corpus is a closed set.
    """
    first: dict[str, Entry] = {}
    repeated: dict[str, list[tuple[Entry, Entry]]] = defaultdict(list)
    sizes: dict[str, int] = defaultdict(int)
    for entry in entries:
        original = first.setdefault(entry.text, entry)
        sizes[entry.split] += bool(entry.text)
        if entry.text and original.split != entry.split:
            repeated[entry.split].append((entry, original))
    for split, pairs in repeated.items():
        if len(pairs) > CLOSED_SET * sizes[split]:
            found = f"{len(pairs)} of the {sizes[split]} texts of {split} are also in other splits: a closed set"
            yield Finding("duplicate text", SUSPECT, found, pairs[0][0].manifest)
        else:
            for entry, original in pairs:
                found = f"{entry.text!r} is also in {original.split}, {original.place}"
                yield entry.finding("duplicate text", found)


def shared_speakers(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield a finding for each speaker with lines in several splits; none where all lines are of one speaker."""
    counts: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        if entry.utterance.speaker is not None:
            counts[entry.utterance.speaker][entry.split].append(entry)
    for speaker, rows in counts.items():
        if len(rows) > 1 and len(counts) > 1:
            found = ", ".join(f"{len(row)} lines in {split}" for split, row in rows.items())
            last = list(rows.values())[-1][0]
            yield Finding("shared speaker", SUSPECT, f"speaker {speaker!r} has {found}", last.manifest, last.line)


def unlisted_audio(entries: Sequence[Entry], manifests: Sequence[Path]) -> Iterator[Finding]:
    """Yield a finding for each recording that no manifest lists, in the folders of the recordings checked.

    All manifests in the folders of `manifests` count.
    """
    listed = {entry.utterance.audio.absolute() for entry in entries}
    for manifest in {path for folder in {m.parent for m in manifests} for path in _files(folder)} - set(manifests):
        if manifest.suffix in SUFFIXES:
            try:
                listed |= {utterance.audio.absolute() for _, utterance in scan_manifest(manifest)[0]}
            except ManifestError:
                continue  # not a manifest
    for folder in sorted({entry.utterance.audio.parent for entry in entries}):
        for path in _files(folder):
            if path.suffix.lower() in AUDIO_SUFFIXES and path.absolute() not in listed:
                found = "is in a folder of the corpus, but in no manifest"
                yield Finding("unlisted audio", SUSPECT, found, file=path)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # missing or not readable: the lines that name files in it have verdicts of their own
        return []


def decibels(level: float) -> str:
    """Format a share of full scale in dB."""
    return f"{20 * math.log10(level):.0f} dB" if level > 0 else "digital silence"
