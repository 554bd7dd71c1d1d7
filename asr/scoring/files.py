"""Scoring of files: which reference belongs to which hypothesis, and the lines to print."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AsrError, ManifestError
from asr.scoring.wer import Score, score
from asr.text import Normalizer

_MANIFESTS = (".jsonl", ".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference with its hypothesis, both normalised, and the manifest row they come from, if any."""

    reference: str
    hypothesis: str
    utterance: Utterance | None = None


def pair_files(reference: Path, hypothesis: Path, normalizer: Normalizer) -> list[Pair]:
    """Pairs references with hypotheses: manifests by id, texts line by line.

    Raises ManifestError naming ids or lines that have no partner: leaving them out would flatter the score.
    """
    if (reference.suffix in _MANIFESTS) != (hypothesis.suffix in _MANIFESTS):
        raise ManifestError(f"{reference}, {hypothesis}: one is a manifest and one is not; give two of a kind")
    if reference.suffix not in _MANIFESTS:
        references, hypotheses = _lines(reference), _lines(hypothesis)
        if len(references) != len(hypotheses):
            raise ManifestError(f"{reference} has {len(references)} lines, {hypothesis} has {len(hypotheses)}")
        return [Pair(normalizer(r), normalizer(h)) for r, h in zip(references, hypotheses, strict=True)]
    rows = {utterance.id: utterance for utterance in read_manifest(reference, require_text=False)}
    found = {utterance.id: utterance for utterance in read_manifest(hypothesis)}
    for missing, source in (
        (rows.keys() - found.keys(), hypothesis),
        (found.keys() - rows.keys(), reference),
    ):
        if missing:
            names = ", ".join(sorted(missing)[:5])
            raise ManifestError(
                f"{source}: {len(missing)} utterances are missing: {names}{', …' if len(missing) > 5 else ''}"
            )
    pairs = []
    for identifier, row in rows.items():
        heard = found[identifier].extra.get("hypothesis")
        if not isinstance(heard, str):
            raise ManifestError(f"{hypothesis}: {identifier} has no hypothesis; write it with `asr transcribe -o`")
        if row.text is None:
            raise ManifestError(f"{reference}: {identifier} has no text to score against")
        pairs.append(Pair(normalizer(row.text), normalizer(heard), row))
    return pairs


def score_groups(pairs: Sequence[Pair], by: str | None = None) -> Iterator[str]:
    """The lines `asr score` prints: with `by`, one for each value of that field and their mean; CER and WER last."""
    if by is not None:
        groups: dict[str, list[Pair]] = {}
        for pair in pairs:
            groups.setdefault(_field(pair, by), []).append(pair)
        scores = {value: _score(group) for value, group in sorted(groups.items())}
        for value, result in scores.items():
            yield f"{by} {value}: {result.wer}"
        mean = sum(result.wer.percent for result in scores.values()) / len(scores)
        yield f"mean WER over {len(scores)} values of {by}: {mean:.2f} %"
    total = _score(pairs)
    yield str(total.cer)
    yield str(total.wer)


def _score(pairs: Sequence[Pair]) -> Score:
    return score([pair.reference for pair in pairs], [pair.hypothesis for pair in pairs])


def _field(pair: Pair, name: str) -> str:
    value = None
    if pair.utterance is not None:
        value = pair.utterance.speaker if name == "speaker" else pair.utterance.extra.get(name)
    if value is None:
        raise AsrError(f"--by {name}: the references do not have that field in every line")
    return str(value)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
