"""Annotations in tiers (ELAN, Praat) -> utterances of the tier with the transcript."""

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reader import Splits
from asr.corpus.readers.reading import note
from asr.corpus.readers.recordings import Recordings
from asr.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Annotation:
    """A segment of a recording and its text in one tier; `start` and `end` are in seconds, None if not known."""

    file: Path
    audio: Path
    tier: str
    start: float | None
    end: float | None
    text: str
    speaker: str | None = None
    parts: int = 1  # annotations without times of their own that were joined to this one


def utterances_of_tier(
    source: Path, annotations: Sequence[Annotation], tier: str | None, recordings: Recordings
) -> Splits:
    """Return the annotations of `tier` as utterances.

    `tier` is a name or a pattern such as `tx@*` (default: the only tier with text). Annotations that span no time are
    left out and noted. Raises SourceError that lists the tiers if the choice is not clear.
    """
    written = [annotation for annotation in annotations if annotation.text.strip()]
    counts = Counter(annotation.tier for annotation in written)
    wanted = fnmatch.filter(counts, tier or "*") if tier not in counts else [tier]
    if not wanted or (tier is None and len(wanted) > 1):
        problem = "no tier has text" if not counts else f"no tier {tier!r} with text" if tier else "several tiers"
        raise SourceError(f"{source}: {problem}{_list_tiers(counts, written)}")
    chosen = [annotation for annotation in written if annotation.tier in wanted]
    utterances = []
    for annotation in sorted(chosen, key=lambda a: (a.file, a.start or 0.0)):
        start, end = annotation.start, annotation.end
        if start is None or end is None or not 0.0 <= start < end:
            case = f"{annotation.file} {annotation.tier} {annotation.text[:40]!r}"
            note("left out {} annotation<s> that span<s|> no time", case)
            continue
        if annotation.parts > 1:
            note(
                "{} annotation<s> <is|are> several without times of their own, joined",
                f"{annotation.file.name} at {start:.3f} s: {annotation.parts} are {annotation.text!r}",
            )
        name = f"{recordings.identify(annotation.file.with_suffix(''))}@{start:.3f}"
        utterances.append(
            Utterance(
                id=name if len(wanted) == 1 else f"{name}@{annotation.tier}",
                audio=annotation.audio,
                text=annotation.text,
                offset=start,
                duration=round(end - start, 6),
                speaker=annotation.speaker or (None if len(wanted) == 1 else annotation.tier),
            )
        )
    return {"": utterances}


def note_repeated(annotations: Iterable[Annotation]) -> None:
    """Note the recordings that several files annotate in one tier; copies would double the utterances."""
    files: dict[tuple[Path, str], dict[Path, None]] = defaultdict(dict)
    for annotation in annotations:
        files[annotation.audio, annotation.tier][annotation.file] = None
    for (audio, _), paths in files.items():
        if len(paths) > 1:
            note(
                "{} recording<s> <is|are> annotated by several files, and all are read",
                f"{audio}: {', '.join(map(str, paths))}",
            )


def _list_tiers(counts: Counter[str], annotations: Sequence[Annotation]) -> str:
    """Return the lines that list the tiers, and the pattern for several: not for a text beside its translation."""
    samples = {annotation.tier: annotation.text for annotation in reversed(annotations)}
    lines = [
        f"\n  --tier {name!r:<24} {count:>6} annotations: {samples[name][:40]}"
        for name, count in counts.most_common(20)
    ]
    more = f"\n  … and {len(counts) - 20} more" if len(counts) > 20 else ""
    kinds = Counter(name.rpartition("@")[0] for name in counts)
    kind, number = kinds.most_common(1)[0] if kinds else ("", 0)
    spans = Counter((annotation.file, annotation.start, annotation.end) for annotation in annotations)
    pattern = f"{kind}@*" if kind and number > 1 else "*" if max(spans.values(), default=0) < 2 else ""
    patterns = f"\nSeveral at once: --tier '{pattern}'" if pattern and len(counts) > 1 else ""
    return ("; choose the one to learn:" + "".join(lines) + more + patterns) if counts else ""
