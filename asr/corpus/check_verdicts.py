"""The verdicts on a corpus: what each is worth, its cure, and its rule on the figures of lines, files and splits."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asr.audio import AUDIO_SUFFIXES
from asr.corpus.check_audio import Inspection
from asr.corpus.check_text import Character, Scripts, hidden_characters
from asr.corpus.manifest import SUFFIXES, scan_manifest
from asr.errors import ManifestError
from asr.lengths import required_frames, resampled_length
from asr.text import describe_characters
from asr.utterance import Utterance

UNUSABLE, SUSPECT = "unusable", "suspect"
# What each verdict is worth, and its cure, in the order they are reported in.
VERDICTS = {
    "bad line": (UNUSABLE, "correct the line"),
    "missing audio": (UNUSABLE, "correct the path, or take the line out"),
    "unreadable": (UNUSABLE, "copy the file again from its source, or convert it to WAV"),
    "zero length": (UNUSABLE, "copy or record it again, or correct the line's duration"),
    "header only": (UNUSABLE, "record or export it again"),
    "truncated": (UNUSABLE, "copy it again from its source"),
    "beyond the end": (UNUSABLE, "correct the line's offset and duration, or copy the file again"),
    "silent": (UNUSABLE, "record it again, or take the line out"),
    "inverted channel": (UNUSABLE, "keep one channel, or turn one of them round"),
    "audio without transcript": (UNUSABLE, "transcribe it, or take the line out"),
    "empty transcript": (UNUSABLE, "transcribe it, or take the line out"),
    "infeasible for CTC": (UNUSABLE, "check the text against the audio, or lower model.subsampling"),
    "clipped": (SUSPECT, "record it again with less gain, if you can"),
    "coarse steps": (SUSPECT, "look for the original in 16 bits; what was lost is heard as noise"),
    "DC offset": (SUSPECT, "take the mean out, and look after the sound card"),
    "dead channel": (SUSPECT, "keep the other channel"),
    "low sample rate": (SUSPECT, "lower features.sample_rate to that of most recordings"),
    "hidden characters": (SUSPECT, "delete them from the text"),
    "look-alike letters": (SUSPECT, "replace the letter by its twin of the other script"),
    "unusual speed": (SUSPECT, "check the text against the audio"),
    "duplicate audio": (SUSPECT, "keep it in one place"),
    "duplicate text": (SUSPECT, "keep each text in one split, or say so beside the score"),
    "shared speaker": (SUSPECT, "give each speaker to one split, or say so beside the score"),
    "unlisted audio": (SUSPECT, "add lines for it, or ignore this"),
}
# A model cannot learn from these, but it can be scored on them: outside training they are only suspect.
SCORABLE = ("silent", "inverted channel", "infeasible for CTC")

SILENT_RMS = 1e-4  # -80 dBFS: three steps of 16 bits
CLIPPED_SHARE, CLIPPED_PEAK = 1e-3, 0.5  # at lower peaks, coarse quantisation looks like clipping
COARSE_BITS = 8
DC_OFFSET = 0.01
DEAD_BALANCE = 0.01  # 40 dB below the other channel
INVERTED_CORRELATION = -0.5
CLOSED_SET = 0.5  # share of a split's texts from which repeating them is what the corpus is about


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
    """A line that can be read, with its normalised text and, once inspected, what is in its audio."""

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
        """Characters per second; 0 where there is no text or no audio."""
        figures = self.inspection.figures
        return len(self.text) / figures.duration if figures else 0.0

    def finding(self, verdict: str, found: str) -> Finding:
        """A verdict on this line."""
        severity = VERDICTS[verdict][0] if self.is_training or verdict not in SCORABLE else SUSPECT
        figures = asdict(self.inspection.figures) if self.inspection.figures else {}
        utterance = self.utterance
        return Finding(verdict, severity, found, self.manifest, self.line, utterance.id, utterance.audio, figures)


def audio_faults(entry: Entry, sample_rate: int) -> Iterator[tuple[str, str]]:
    """`(verdict, what was found)` for the audio of a line, read by a model of this sample rate."""
    figures = entry.inspection.figures
    if figures is None:
        yield entry.inspection.fault, entry.inspection.message
        return
    if not resampled_length(figures.num_samples, figures.sample_rate, sample_rate):
        yield "zero length", f"{figures.num_samples} samples at {figures.sample_rate} Hz are none at {sample_rate} Hz"
    if figures.correlation < INVERTED_CORRELATION:
        yield "inverted channel", f"its channels correlate at {figures.correlation:.2f}, and their mean cancels them"
    elif figures.rms < SILENT_RMS:
        yield "silent", f"its level is {decibels(figures.rms)}"
        return
    if figures.balance < DEAD_BALANCE:
        yield "dead channel", f"one of its {figures.channels} channels is at {decibels(figures.balance)} of the loudest"
    if figures.clipped > CLIPPED_SHARE and figures.peak > CLIPPED_PEAK:
        yield "clipped", f"{100 * figures.clipped:.1f} % of its samples are cut off at {decibels(figures.peak)}"
    if figures.bits <= COARSE_BITS:
        yield "coarse steps", f"its samples use {figures.bits} of 16 bits"
    if abs(figures.dc_offset) > DC_OFFSET:
        yield "DC offset", f"its mean is {100 * figures.dc_offset:+.1f} % of full scale"
    if figures.sample_rate < sample_rate:
        yield "low sample rate", f"{figures.sample_rate} Hz, the model takes {sample_rate} Hz"


def text_faults(entry: Entry, scripts: Scripts, text_field: str) -> Iterator[tuple[str, str]]:
    """`(verdict, what was found)` for the transcript of a line."""
    text = entry.utterance.text
    if text is None:
        yield "audio without transcript", f"the line has no {text_field}"
        return
    if not entry.text:
        yield "empty transcript", f"the text is {text!r}"
    if hidden := hidden_characters(text):
        yield "hidden characters", f"the text holds {describe_characters(hidden)}"
    mixed = {word: letter for word, letter in scripts.strangers(entry.text) if scripts.is_look_alike(letter)}
    if mixed:
        word, letter = next(iter(mixed.items()))
        row = Character(letter)
        yield "look-alike letters", f"in {word!r}, {letter!r} is {row.code_points} {row.name}"


def ctc_faults(units: Sequence[str], frames: int) -> Iterator[tuple[str, str]]:
    """Whether `units` have a path through `frames` encoder frames: `S >= L + repeats`."""
    if frames < (needed := required_frames(units)):
        counted = f"{len(units)} units + {needed - len(units)} repeats need {needed} frames"
        yield "infeasible for CTC", f"{counted}, the audio gives {frames}"


def duplicate_audio(entries: Sequence[Entry]) -> Iterator[Finding]:
    """The same samples in two places, or parts of one file that overlap across splits."""
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
            yield entry.finding("duplicate audio", f"the same audio as {original.place}{across}{text}")
    for parts in files.values():
        ends: dict[str, tuple[float, Entry]] = {}
        for entry in sorted(parts, key=lambda entry: entry.utterance.offset):
            for split, (end, other) in ends.items():
                if split != entry.split and end > entry.utterance.offset:
                    yield entry.finding("duplicate audio", f"overlaps {other.place}, in {split} and {entry.split}")
            figures = entry.inspection.figures
            end = entry.utterance.offset + (figures.duration if figures else 0.0)
            ends[entry.split] = max(ends.get(entry.split, (0.0, entry)), (end, entry), key=lambda pair: pair[0])


def duplicate_texts(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Texts that an earlier split holds too; one finding for a split that repeats most of its texts by design."""
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
            found = f"{len(pairs)} of the {sizes[split]} texts of {split} stand in other splits too: a closed set"
            yield Finding("duplicate text", SUSPECT, found, pairs[0][0].manifest)
        else:
            for entry, original in pairs:
                found = f"{entry.text!r} stands also in {original.split}, {original.place}"
                yield entry.finding("duplicate text", found)


def shared_speakers(entries: Sequence[Entry]) -> Iterator[Finding]:
    counts: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        if entry.utterance.speaker is not None:
            counts[entry.utterance.speaker][entry.split].append(entry)
    for speaker, rows in counts.items():
        if len(rows) > 1:
            found = ", ".join(f"{len(row)} lines in {split}" for split, row in rows.items())
            last = list(rows.values())[-1][0]
            yield Finding("shared speaker", SUSPECT, f"speaker {speaker!r} has {found}", last.manifest, last.line)


def unlisted_audio(entries: Sequence[Entry], manifests: Sequence[Path]) -> Iterator[Finding]:
    """Recordings in the folders of those checked that no line names, of these manifests or of others beside them."""
    listed = {entry.utterance.audio.absolute() for entry in entries}
    for manifest in {path for folder in {m.parent for m in manifests} for path in _files(folder)} - set(manifests):
        if manifest.suffix in SUFFIXES:
            try:
                listed |= {utterance.audio.absolute() for _, utterance in scan_manifest(manifest)[0]}
            except ManifestError:
                continue  # a table of something else
    for folder in sorted({entry.utterance.audio.parent for entry in entries}):
        for path in _files(folder):
            if path.suffix.lower() in AUDIO_SUFFIXES and path.absolute() not in listed:
                yield Finding("unlisted audio", SUSPECT, "lies beside the corpus, and no manifest names it", file=path)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # missing or closed: what is named in it has its own verdict
        return []


def decibels(level: float) -> str:
    """A share of full scale in dB."""
    return f"{20 * math.log10(level):.0f} dB" if level > 0 else "digital silence"
