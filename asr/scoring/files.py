"""Pairs of references and hypotheses, from two files of any kind that `scoring/readers.py` reads.

- An empty reference counts no words, and every word of its hypothesis as inserted.
- An empty hypothesis counts every word of its reference as deleted.
- An id that one file lacks, or that stands twice in one file, is an error: leaving it out would flatter the score. Only
  a CTM may lack ids, since it cannot hold an empty hypothesis.

Empty texts, ids that a CTM lacks, and segments that are not scored are logged.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.errors import AsrError, ManifestError
from asr.scoring.readers import KINDS, Entry, Kind, cut, file_kind, read_ctm, read_entries, read_stm
from asr.scoring.wer import Score, score
from asr.text import Normalizer
from asr.utterance import Utterance

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference with its hypothesis and n-best list, all normalised; `utterance` is its row of a manifest."""

    id: str
    reference: str
    hypothesis: str
    speaker: str | None = None
    utterance: Utterance | None = None
    nbest: tuple[str, ...] = ()


def pair_files(reference: Path, hypothesis: Path, normalizer: Normalizer, text_field: str = "text") -> list[Pair]:
    """Pair references with hypotheses: plain texts by line, a CTM with an STM by time, all other kinds by id.

    `text_field` is the field of a manifest that holds the references. Raises ManifestError that names the ids, or the
    numbers of lines, that do not match.
    """
    kinds = file_kind(reference), file_kind(hypothesis)
    entries = read_entries(reference, hypotheses=False, text_field=text_field)
    if kinds == ("stm", "ctm"):
        found = _cut_into_segments(reference, hypothesis)
    else:
        found = {entry.id: entry for entry in read_entries(hypothesis, hypotheses=True)}
    _require_partners(reference, hypothesis, kinds, [entry.id for entry in entries], found)
    pairs = []
    for entry in entries:
        recognised = found.get(entry.id, Entry(entry.id, ""))
        pairs.append(
            Pair(
                entry.id,
                normalizer(entry.text),
                normalizer(recognised.text),
                entry.speaker,
                entry.utterance,
                tuple(map(normalizer, recognised.nbest)),
            )
        )
    if empty := sum(not pair.reference and bool(pair.hypothesis) for pair in pairs):
        message = "%s: %d of %d references are empty; all words of their hypotheses count as inserted"
        logger.warning(message, reference, empty, len(pairs))
    if empty := sum(not pair.hypothesis and bool(pair.reference) for pair in pairs):
        message = "%s: %d of %d hypotheses are empty; all words of their references count as deleted"
        logger.warning(message, hypothesis, empty, len(pairs))
    return pairs


def score_pairs(pairs: Sequence[Pair]) -> Score:
    """Score all pairs; intervals are over speakers if every pair has a speaker and there are enough of them."""
    return score(
        [pair.reference for pair in pairs],
        [pair.hypothesis for pair in pairs],
        speakers=[pair.speaker for pair in pairs],
    )


def group_by(pairs: Sequence[Pair], name: str) -> dict[str, list[Pair]]:
    """Group the pairs by the value of a field, sorted by value. Raises AsrError if a pair lacks that field."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        value = pair.speaker if name == "speaker" else pair.utterance and pair.utterance.extra.get(name)
        if value is None:
            raise AsrError(f"--by {name}: not every line of the references has a field {name}; name another")
        groups.setdefault(str(value), []).append(pair)
    return dict(sorted(groups.items()))


def _cut_into_segments(reference: Path, hypothesis: Path) -> dict[str, Entry]:
    segments = read_stm(reference)
    if ignored := sum(segment.ignored for segment in segments):
        logger.warning("%s: %d segments are marked as not to be scored, and are left out", reference, ignored)
    words = read_ctm(hypothesis)
    if strange := {word.channel for word in words} - {segment.channel for segment in segments}:
        names = ", ".join(f"{recording} channel {channel}" for recording, channel in sorted(strange)[:5])
        raise ManifestError(f"{hypothesis}: has words of {names}; {reference} has no segment of it; take them out")
    in_segments = cut(words, segments)
    return {part.id: Entry(part.id, " ".join(found)) for part, found in in_segments.items() if not part.ignored}


def _require_partners(
    reference: Path, hypothesis: Path, kinds: tuple[Kind, Kind], expected: Sequence[str], found: dict[str, Entry]
) -> None:
    for path, kind in zip((reference, hypothesis), kinds, strict=True):
        if kind == "kaldi" and "text" not in (path.name, path.suffix[1:]):
            logger.warning("%s: every line begins with an id, so it is read as Kaldi text", path)
    if kinds.count("plain") == 1:
        raise ManifestError(
            f"{reference} is {KINDS[kinds[0]]}; {hypothesis} is {KINDS[kinds[1]]}; "
            "give both with ids, or both as plain text, line by line"
        )
    if kinds == ("plain", "plain") and len(expected) != len(found):
        raise ManifestError(
            f"{reference} has {len(expected)} lines, {hypothesis} has {len(found)}; "
            "plain texts are matched by line, so write an empty line for each empty hypothesis"
        )
    missing = [identifier for identifier in expected if identifier not in found]
    if missing and kinds[1] == "ctm":
        logger.warning("%s: has no word of %s; the hypothesis counts as empty", hypothesis, _listed(missing))
    elif missing:
        raise ManifestError(
            f"{hypothesis}: lacks {_listed(missing)} of {reference}; transcribe them, or add empty hypotheses, "
            "which count all words as deleted"
        )
    known = set(expected)
    if excess := [identifier for identifier in found if identifier not in known]:
        raise ManifestError(f"{hypothesis}: has {_listed(excess)} that {reference} lacks; take them out")


def _listed(ids: Sequence[str]) -> str:
    return f"{len(ids)} utterance{'s' * (len(ids) != 1)} ({', '.join(ids[:5])}{', …' if len(ids) > 5 else ''})"
