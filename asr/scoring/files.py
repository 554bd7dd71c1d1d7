"""Pairs of references and hypotheses, from two files of any kind that `scoring/kinds.py` recognises.

- An empty reference counts no words, and every word of its hypothesis as inserted.
- An empty hypothesis counts every word of its reference as deleted.
- An id that one file lacks, or that stands twice in one file, is an error: leaving it out would flatter the score. Only
  a CTM may lack ids, since it cannot hold an empty hypothesis.

Empty texts, ids that a CTM lacks, and segments that are not scored are logged.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.errors import AsrError, ManifestError
from asr.scoring.kinds import KINDS, Kind, Source, first_words
from asr.scoring.markup import NOTHING, Choice, choose, has_markup, without_parentheses
from asr.scoring.readers import Entry, cut, read_ctm, read_entries, read_stm
from asr.scoring.wer import Score, score
from asr.text import Normalizer, ctm_field
from asr.utterance import Utterance
from asr.wording import counted

logger = logging.getLogger(__name__)

_NIST: tuple[Kind, ...] = ("trn", "stm", "ctm")  # kinds in which `@` is no word, and every word in parentheses optional


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference with its hypothesis and n-best list, all normalised; `utterance` is its row of a manifest.

    `left_out` holds the positions of optional words of the reference that the hypothesis lacks; they count as right.
    """

    id: str
    reference: str
    hypothesis: str
    speaker: str | None = None
    utterance: Utterance | None = None
    nbest: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()


def pair_files(
    reference: Path | Source, hypothesis: Path | Source, normalizer: Normalizer, text_field: str = "text"
) -> list[Pair]:
    """Pair references with hypotheses: plain texts by line, a CTM with an STM by time, all other kinds by id.

    `text_field` is the field of a manifest that holds the references. Raises ManifestError that names the ids, or the
    numbers of lines, that do not match.
    """
    references, hypotheses = (one if isinstance(one, Source) else Source.read(one) for one in (reference, hypothesis))
    kinds = _kinds(references, hypotheses, text_field)
    if references.path == hypotheses.path and kinds[1] not in ("manifest", "json"):
        logger.warning("%s: is compared with itself, so there are no errors; name the hypotheses", references.path)
    entries = read_entries(references, hypotheses=False, text_field=text_field, kind=kinds[0])
    if kinds == ("stm", "ctm"):
        found = _cut_into_segments(references, hypotheses)
    else:
        found = {
            entry.id: entry for entry in read_entries(hypotheses, hypotheses=True, text_field=text_field, kind=kinds[1])
        }
    if kinds[1] == "ctm":
        found = _with_ids_of(entries, found)
    reference, hypothesis = references.path, hypotheses.path
    _require_partners(references, hypotheses, kinds, [entry.id for entry in entries], found)
    pairs = [
        _pair(references, hypotheses, kinds, one, found.get(one.id, Entry(one.id, "")), normalizer) for one in entries
    ]
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
        left_out=[pair.left_out for pair in pairs],
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


def _pair(
    references: Source,
    hypotheses: Source,
    kinds: tuple[Kind, Kind],
    entry: Entry,
    recognised: Entry,
    normalizer: Normalizer,
) -> Pair:
    marked, marked_hypothesis = kinds[0] in _NIST, kinds[1] in _NIST
    try:
        texts = [normalizer(_plain_words(text, marked_hypothesis)) for text in (recognised.text, *recognised.nbest)]
    except ManifestError as error:
        raise ManifestError(f"{hypotheses.path}: {entry.id} {error}") from None
    expected = _without_null(entry.text) if marked else entry.text
    try:
        chosen = choose(expected, texts[0], normalizer, marked) if has_markup(expected, marked) else None
    except ManifestError as error:
        raise ManifestError(f"{references.path}: {entry.id} {error}") from None
    text, left_out = chosen or Choice(normalizer(expected))
    return Pair(entry.id, text, texts[0], entry.speaker, entry.utterance, tuple(texts[1:]), left_out)


def _plain_words(text: str, marked: bool) -> str:
    """Return a hypothesis without NIST's marks of optional words, and without its word for no word."""
    text = without_parentheses(text, marked)
    return _without_null(text) if marked else text


def _without_null(text: str) -> str:
    """Return a text without NIST's word for no word, `@`, except in alternatives."""
    return text if "{" in text else " ".join(word for word in text.split() if word != NOTHING)


def _kinds(references: Source, hypotheses: Source, text_field: str) -> tuple[Kind, Kind]:
    """Return the kinds of both files; a file whose lines begin with the ids of the other one is Kaldi text."""
    kinds = references.kind, hypotheses.kind
    if kinds == ("plain", "plain"):
        first, second = (first_words(source.lines) for source in (references, hypotheses))
        if first is None or second is None or set(first) != set(second):
            return kinds
        if first != second or _are_ids(first, references.lines + hypotheses.lines):
            return "kaldi", "kaldi"
        if len(first) > 2:
            message = (
                "%s and %s: lines begin with the same words, which are scored; if they are ids, name the files .text"
            )
            logger.warning(message, references.path, hypotheses.path)
    elif kinds[1] == "plain" and kinds[0] != "stm":
        ids = {entry.id for entry in read_entries(references, hypotheses=False, text_field=text_field)}
        if set(first_words(hypotheses.lines) or ["\n"]) <= ids:
            return kinds[0], "kaldi"
    elif kinds[0] == "plain" and kinds[1] != "stm":
        ids = {entry.id for entry in read_entries(hypotheses, hypotheses=True, text_field=text_field)}
        if set(first_words(references.lines) or ["\n"]) <= ids:
            return "kaldi", kinds[1]
    return kinds


def _are_ids(first: Sequence[str], lines: Sequence[str]) -> bool:
    """Tell whether words that begin the lines of both files in one order are ids.

    They are if each has a mark inside, as in `anna-one`. They also are if there are three or more, in the order in
    which Kaldi sorts them, and no text holds one of them.
    """
    if all(re.fullmatch(r"\w+([-_./:@]\w+)+", word) and not word.isalpha() for word in first):
        return True
    inside = {word for line in lines for word in line.split()[1:]}
    return len(first) > 2 and sorted(first) == list(first) and not inside & set(first)


def _with_ids_of(entries: Sequence[Entry], found: dict[str, Entry]) -> dict[str, Entry]:
    """Return the hypotheses of a CTM under the ids of the references, which a CTM writes without white space."""
    ids = {entry.id for entry in entries}
    names = {ctm_field(identifier): identifier for identifier in ids}
    return {name if name in ids else names.get(name, name): entry for name, entry in found.items()}


def _cut_into_segments(references: Source, hypotheses: Source) -> dict[str, Entry]:
    segments = read_stm(references)
    reference, hypothesis = references.path, hypotheses.path
    if ignored := sum(segment.ignored for segment in segments):
        marked = counted("{} segment<s> <is|are> marked as not to be scored, and left out", ignored)
        logger.warning("%s: %s", reference, marked)
    words = read_ctm(hypotheses)
    if strange := {word.channel for word in words} - {segment.channel for segment in segments}:
        names = ", ".join(f"{recording} channel {channel}" for recording, channel in sorted(strange)[:5])
        raise ManifestError(f"{hypothesis}: has words of {names}; {reference} has no segment of it; take them out")
    in_segments = cut(words, segments)
    return {part.id: Entry(part.id, " ".join(found)) for part, found in in_segments.items() if not part.ignored}


def _require_partners(
    references: Source, hypotheses: Source, kinds: tuple[Kind, Kind], expected: Sequence[str], found: dict[str, Entry]
) -> None:
    reference, hypothesis = references.path, hypotheses.path
    for source, kind in zip((references, hypotheses), kinds, strict=True):
        if kind == "kaldi" and not source.kind_by_name:
            logger.warning("%s: every line begins with an id, so it is read as Kaldi text", source.path)
        elif kind != "plain" and not source.kind_by_name:
            logger.warning("%s: is read as %s", source.path, KINDS[kind])
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
