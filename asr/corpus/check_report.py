"""Reports of a check: one screen for people, one table for programs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from asr.corpus.check import Report
from asr.corpus.check_verdicts import SUSPECT, UNUSABLE, VERDICTS, Entry, Finding
from asr.files import to_json, write_whole
from asr.wording import counted

_EXAMPLES = 2  # findings shown for each verdict
_CHARACTERS = 8  # flagged characters shown


def summary(report: Report, model: str) -> Iterator[str]:
    """Yield the lines of one screen; `model` describes the model that the corpus was checked for."""
    yield f"checked for {model}; training is {report.training}"
    width = max(map(len, report.splits))
    for split, entries in report.splits.items():
        figures = [entry.inspection.figures for entry in entries if entry.inspection.figures]
        speakers = len({entry.utterance.speaker for entry in entries} - {None})
        rates = Counter(f"{one.sample_rate} Hz" for one in figures)
        hours = sum(one.duration for one in figures) / 3600
        about = [
            f"{len(entries):6} {'lines' if len(entries) != 1 else 'line '} {hours:7.2f} h",
            counted("{} speaker<s>", speakers),
            ", ".join(rates),
        ]
        if split in report.unknown_words:
            unknown, words = report.unknown_words[split]
            about.append(f"{100 * unknown / max(words, 1):.1f} % of {words} words not in {report.training}")
        yield f"  {split:{width}} " + ", ".join(part for part in about if part not in ("0 speakers", ""))
    for severity in (UNUSABLE, SUSPECT):
        findings = [finding for finding in report.findings if finding.severity == severity]
        yield f"{severity}: {len(findings)}"
        for verdict, group in groupby(findings, key=lambda finding: finding.verdict):
            rows = list(group)
            yield f"  {len(rows)} {verdict}; {VERDICTS[verdict][1]}"
            yield from (f"      {finding}" for finding in rows[:_EXAMPLES])
            if len(rows) > _EXAMPLES:
                yield f"      … and {len(rows) - _EXAMPLES} more"
    yield from _character_lines(report)


def _character_lines(report: Report) -> Iterator[str]:
    odd = [row for row in report.characters if row.flags]
    trained = sum(bool(row.counts[report.training]) for row in report.characters)
    yield f"characters: {trained} in {report.training}, {len(report.characters)} in all, {len(odd)} odd"
    for row in odd[:_CHARACTERS]:
        counts = ", ".join(f"{count} in {split}" for split, count in row.counts.items())
        yield f"  {row.glyph!r} {row.code_points} {row.name}: {', '.join(row.flags)}; {counts}; first in {row.first}"
    if len(odd) > _CHARACTERS:
        yield f"  … and {len(odd) - _CHARACTERS} more"


def write_table(report: Report, path: Path) -> None:
    """Write JSON Lines of three kinds: findings, lines with their figures, and characters; `kind` names the kind.

    Raises OutputError if `path` cannot be written.
    """
    entries = [entry for rows in report.splits.values() for entry in rows]
    rows = [*map(_finding_row, report.findings), *map(_line_row, entries)]
    for row in report.characters:
        about = {"glyph": row.glyph, "code_points": row.code_points, "name": row.name, "counts": dict(row.counts)}
        rows.append({"kind": "character", **about, "first": row.first, "flags": row.flags})
    # A lone surrogate, which UTF-8 cannot hold, becomes the JSON escape for it.
    content = "".join(to_json(row) + "\n" for row in rows).encode("utf-8", "backslashreplace")
    write_whole(path, content)


def _finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "kind": "finding",
        "verdict": finding.verdict,
        "severity": finding.severity,
        **_place(finding.manifest, finding.line, finding.id, finding.file),
        "found": finding.found,
        "cure": finding.cure,
        "figures": finding.figures,
    }


def _line_row(entry: Entry) -> dict[str, Any]:
    figures = entry.inspection.figures
    measured = {"duration": round(figures.duration, 4), **asdict(figures)} if figures else {}
    return {
        "kind": "line",
        "split": entry.split,
        **_place(entry.manifest, entry.line, entry.utterance.id, entry.utterance.audio),
        "figures": {"characters_per_second": round(entry.speed, 2), **measured},
    }


def _place(manifest: Path | None, line: int | None, identifier: str | None, file: Path | None) -> dict[str, Any]:
    return {
        "manifest": manifest and str(manifest),
        "line": line,
        "id": identifier,
        "file": file and str(file),
    }
