"""The check of a corpus: one pass before training finds and names every fault.

A model cannot learn from an `unusable` line, and training leaves it out. Training uses a `suspect` line as it is.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from asr.config import Config
from asr.corpus.check_files import inspect_files
from asr.corpus.check_text import Character, Scripts, character_table, unknown_words, usual_speeds
from asr.corpus.check_verdicts import (
    UNUSABLE,
    VERDICTS,
    Entry,
    Finding,
    audio_faults,
    ctc_faults,
    duplicate_audio,
    duplicate_texts,
    overlapping_speech,
    shared_speakers,
    text_faults,
    unlisted_audio,
)
from asr.corpus.manifest import scan_manifest
from asr.lengths import hop_samples, num_frames, resampled_length, subsampled_length
from asr.text import Units, read_units
from asr.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `check`. `splits` holds every line that can be read, with the training split first."""

    training: str
    splits: dict[str, list[Entry]]
    findings: list[Finding]  # in the order of `VERDICTS`
    characters: list[Character]
    unknown_words: dict[str, tuple[int, int]]  # for all splits except training: words not in training, all words

    @property
    def unusable(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == UNUSABLE]

    def usable(self, split: str) -> list[Utterance]:
        """Return the utterances of a split without an unusable finding."""
        return [entry.utterance for entry in self.usable_entries(split)]

    def usable_entries(self, split: str) -> list[Entry]:
        """Return the lines of a split without an unusable finding."""
        faulty = {(finding.manifest, finding.line) for finding in self.unusable}
        return [entry for entry in self.splits[split] if (entry.manifest, entry.line) not in faulty]


def check(
    splits: Mapping[str, Sequence[str | Path]],
    *,
    training: str,
    text_field: str = "text",
    sample_rate: int,
    hop_ms: float,
    subsampling: int | None,
    normalizer: Callable[[str], str],
    segment: Callable[[str], Sequence[str]],
    classes: bool = False,
    allow_empty: bool = False,
) -> Report:
    """Check the manifests of each split for a model with these settings.

    `training` is the name of the training split. `text_field` is the field of a line that the model learns to write.
    `normalizer` turns a text into a normalised text, and `segment` turns a normalised text into units. `subsampling` is
    None for a model without CTC, which has no limit on the length of a text. With `classes`, the field holds the class
    of an utterance: every line must have it, and it is not checked as a text. With `allow_empty`, lines with an empty
    text are usable, as recordings without speech.

    No fault in a recording or a line stops the check. Recordings are decoded in parallel, once (see `inspect_files`).
    Raises ManifestError for a manifest that cannot be read at all.
    """
    entries: list[Entry] = []
    findings: list[Finding] = []
    order = sorted(splits, key=lambda name: name != training)
    manifests = [(name, Path(path)) for name in order for path in splits[name]]
    for name, manifest in manifests:
        utterances, bad_lines = scan_manifest(manifest, require_text=classes, text_field=text_field)
        findings += [Finding("bad line", UNUSABLE, fault, manifest, line) for line, fault in bad_lines]
        entries += [
            Entry(
                name, name == training, manifest, line, utterance, "" if classes else normalizer(utterance.text or "")
            )
            for line, utterance in utterances
        ]
    inspections = inspect_files((entry.manifest, entry.utterance) for entry in entries)
    entries = [replace(entry, inspection=result) for entry, result in zip(entries, inspections, strict=True)]

    scripts = Scripts(entry.text for entry in entries)
    slowest, fastest = usual_speeds([entry.speed for entry in entries if entry.speed])
    for entry in entries:
        faults = list(audio_faults(entry, sample_rate))
        if not classes:
            faults += text_faults(entry, scripts, text_field, allow_empty=allow_empty)
        if entry.speed and not slowest <= entry.speed <= fastest:
            usual = f"usual are {slowest:.1f} to {fastest:.1f}"
            faults.append(("unusual speed", f"{entry.speed:.1f} characters per second, {usual}"))
        if subsampling and entry.text and (figures := entry.inspection.figures):
            num_samples = resampled_length(figures.num_samples, figures.sample_rate, sample_rate)
            frames = num_frames(num_samples, hop_samples(sample_rate, hop_ms))
            faults += ctc_faults(segment(entry.text), subsampled_length(frames, subsampling))
        findings += [entry.finding(verdict, found) for verdict, found in faults]
    findings += chain(
        overlapping_speech(entries),
        duplicate_audio(entries),
        duplicate_texts(entries),
        shared_speakers(entries),
        unlisted_audio(entries, [path for _, path in manifests]),
    )
    rank = {verdict: number for number, verdict in enumerate(VERDICTS)}
    by_split = {name: [entry for entry in entries if entry.split == name] for name in order}
    return Report(
        training=training,
        splits=by_split,
        findings=sorted(findings, key=lambda finding: rank[finding.verdict]),
        characters=character_table(((e.split, e.place, e.text) for e in entries), training, scripts, segment),
        unknown_words=unknown_words({name: [e.text for e in rows] for name, rows in by_split.items()}, training),
    )


def settings_of(config: Config) -> dict[str, Any]:
    """Return the arguments of `check` for the model of a configuration. Raises TextError for a faulty units file."""
    text = config.text
    symbols = read_units(text.units_file, text.units) if text.units_file else ()
    return {
        "text_field": config.data.text_field,
        "sample_rate": config.features.sample_rate,
        "hop_ms": config.features.hop_ms,
        "subsampling": config.model.subsampling if config.model.loss_weights[0] else None,
        "normalizer": text.normalizer,
        "segment": Units(symbols, text.units).split,
        "classes": config.task == "classification",
        "allow_empty": config.data.train_on_empty,
    }


def name_splits(manifests: Sequence[Path]) -> tuple[dict[str, list[Path]], str]:
    """Return each manifest as a split named after its file, and the name of the training split.

    The training split is the first one whose name begins with `train`, or else the first one.
    """
    stems = Counter(path.stem for path in manifests)
    splits = {path.stem if stems[path.stem] == 1 else str(path): [path] for path in manifests}
    return splits, next((name for name in splits if Path(name).stem.startswith("train")), next(iter(splits)))
