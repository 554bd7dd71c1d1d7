"""Which reference belongs to which hypothesis, and what is done about those that have none.

One rule each: an empty reference counts no words, and every word of its hypothesis as inserted; an empty hypothesis
counts every word of its reference as deleted; ids that the hypotheses lack, ids that only they have, and ids that stand
twice are errors, since leaving them out would flatter the score. Only a CTM may lack ids: it has no way to say that
nothing was heard. What was done is logged.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.errors import AsrError, ManifestError
from asr.scoring.readers import Entry, cut, file_kind, read_ctm, read_entries, read_stm
from asr.scoring.wer import Score, score
from asr.text import Normalizer
from asr.utterance import Utterance

logger = logging.getLogger(__name__)

_NAMES = {
    "manifest": "a manifest",
    "plain": "plain text, whose lines have no ids",
    "kaldi": "Kaldi text, with an id before each text",
    "ctm": "a CTM",
    "stm": "an STM",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference with its hypothesis and the n-best list behind it, all normalised, and where they come from."""

    id: str
    reference: str
    hypothesis: str
    speaker: str | None = None
    utterance: Utterance | None = None
    nbest: tuple[str, ...] = ()


def pair_files(reference: Path, hypothesis: Path, normalizer: Normalizer, text_field: str = "text") -> list[Pair]:
    """Pairs references with hypotheses: plain texts line by line, CTM with STM by time, all others by id.

    `text_field` is the field of a manifest's references. Raises ManifestError naming ids or lines that have no partner.
    """
    kinds = file_kind(reference), file_kind(hypothesis)
    entries = read_entries(reference, hypotheses=False, text_field=text_field)
    if kinds == ("stm", "ctm"):
        found = _cut_by_time(reference, hypothesis)
    else:
        found = {entry.id: entry for entry in read_entries(hypothesis, hypotheses=True)}
    _require_partners(reference, hypothesis, kinds, [entry.id for entry in entries], found)
    pairs = []
    for entry in entries:
        heard = found.get(entry.id, Entry(entry.id, ""))
        pairs.append(
            Pair(
                entry.id,
                normalizer(entry.text),
                normalizer(heard.text),
                entry.speaker,
                entry.utterance,
                tuple(map(normalizer, heard.nbest)),
            )
        )
    if empty := sum(not pair.reference and bool(pair.hypothesis) for pair in pairs):
        logger.warning("%s: %d of %d empty; every word heard there counts as inserted", reference, empty, len(pairs))
    if empty := sum(not pair.hypothesis and bool(pair.reference) for pair in pairs):
        logger.warning("%s: %d of %d empty; every word said there counts as deleted", hypothesis, empty, len(pairs))
    return pairs


def score_pairs(pairs: Sequence[Pair]) -> Score:
    """The score of all pairs, its intervals over speakers where each pair has one and they are enough."""
    return score(
        [pair.reference for pair in pairs],
        [pair.hypothesis for pair in pairs],
        speakers=[pair.speaker for pair in pairs],
    )


def group_by(pairs: Sequence[Pair], name: str) -> dict[str, list[Pair]]:
    """The pairs of each value of a field, sorted by value. Raises AsrError if a pair does not have that field."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        value = pair.speaker if name == "speaker" else pair.utterance and pair.utterance.extra.get(name)
        if value is None:
            raise AsrError(f"--by {name}: the references do not have that field in every line")
        groups.setdefault(str(value), []).append(pair)
    return dict(sorted(groups.items()))


def _cut_by_time(reference: Path, hypothesis: Path) -> dict[str, Entry]:
    segments = read_stm(reference)
    if ignored := sum(segment.ignored for segment in segments):
        logger.warning("%s: %d segments say that they are not to be scored, and are not", reference, ignored)
    words = read_ctm(hypothesis)
    if strange := {word.channel for word in words} - {segment.channel for segment in segments}:
        names = ", ".join(f"{recording} channel {channel}" for recording, channel in sorted(strange)[:5])
        raise ManifestError(f"{hypothesis}: has words of {names}, of which {reference} has no segment; take them out")
    heard = cut(words, segments)
    return {segment.id: Entry(segment.id, " ".join(found)) for segment, found in heard.items() if not segment.ignored}


def _require_partners(
    reference: Path, hypothesis: Path, kinds: tuple[str, str], expected: Sequence[str], found: dict[str, Entry]
) -> None:
    for path, kind in zip((reference, hypothesis), kinds, strict=True):
        if kind == "kaldi" and "text" not in (path.name, path.suffix[1:]):
            logger.warning("%s: every line begins with an id, so it is read as Kaldi text", path)
    if kinds.count("plain") == 1:
        raise ManifestError(
            f"{reference} is {_NAMES[kinds[0]]}; {hypothesis} is {_NAMES[kinds[1]]}; "
            "give both with ids, or both as plain text, line by line"
        )
    if kinds == ("plain", "plain") and len(expected) != len(found):
        raise ManifestError(
            f"{reference} has {len(expected)} lines, {hypothesis} has {len(found)}; "
            "line by line they must be equal in number, an empty line where nothing was heard"
        )
    missing = [identifier for identifier in expected if identifier not in found]
    if missing and kinds[1] == "ctm":
        logger.warning("%s: nothing heard in %s, which counts as empty", hypothesis, _listed(missing))
    elif missing:
        raise ManifestError(
            f"{hypothesis}: lacks {_listed(missing)} of {reference}; transcribe them, or put an empty hypothesis "
            "there, which counts all their words as deleted"
        )
    known = set(expected)
    if excess := [identifier for identifier in found if identifier not in known]:
        raise ManifestError(f"{hypothesis}: has {_listed(excess)} that {reference} lacks; take them out")


def _listed(ids: Sequence[str]) -> str:
    return f"{len(ids)} utterance{'s' * (len(ids) != 1)} ({', '.join(ids[:5])}{', …' if len(ids) > 5 else ''})"
