"""Suspect transcripts, which do not fit their recordings, with reasons; found by a model not trained on them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from asr.config import Config
from asr.corpus.corpus import Corpus
from asr.corpus.manifest import read_manifest
from asr.corpus.pack import PackedCorpus, pack
from asr.decoding.greedy import best_path
from asr.errors import AsrError, ConfigError
from asr.files import real_path
from asr.nn.ctc import ctc_loss
from asr.recognition.align import find_words, spell
from asr.recognition.recognizer import Recognizer
from asr.training.data import read_ids
from asr.utterance import Utterance

_SHORTLIST = 20  # transcripts of other utterances that are tried on a recording: the nearest to its hypothesis
_CLEAR = 0.3  # another transcript fits clearly better if its excess is below this share of the excess of its own
_QUOTED = 60  # characters of a transcript that are shown
_LEAST = 2.0  # nats a unit: an utterance with a smaller excess never stands out
_AUDIBLE = 0.3  # seconds of speech without text that are reported, at least


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well the transcript of the utterance at `index` of a corpus fits its recording.

    `heard` is the hypothesis of the model. `excess` is the CTC loss of the transcript minus the CTC loss of the
    hypothesis, in nats per unit of the transcript. It is about 0 if both are equal, and infinite if the recording is
    too short for its transcript.
    """

    index: int
    heard: str
    excess: float


@dataclass(frozen=True, slots=True)
class Suspect:
    """A judgement with its utterance and reasons; `stands_out` is true if the excess is an outlier."""

    utterance: Utterance
    index: int
    heard: str
    excess: float
    reasons: tuple[str, ...]
    stands_out: bool


def require_judges(config: Config) -> None:
    """Raise ConfigError for a configuration whose models cannot judge transcripts: classifiers, models without CTC."""
    if config.task != "recognition":
        raise ConfigError(
            f"task: {config.task} has no transcripts to judge; for classes, "
            "`asr classify MODEL MANIFEST -o hyp.jsonl` shows what its model takes for another class"
        )
    if not config.model.loss_weights[0]:
        raise ConfigError(
            f"model.decoder: {config.model.decoder} has no CTC output to judge by; --set model.decoder=ctc"
        )


def find_suspects(
    judged: Sequence[tuple[Recognizer, Judgement]], corpus: Corpus, num_shown: int
) -> tuple[list[Suspect], float]:
    """Return the utterances of highest excess, with reasons, and the excess above which an utterance stands out.

    All outliers are returned, highest excess first, then more utterances up to `num_shown`.
    """
    ids_of_texts: dict[str, str] = {}
    for _, judgement in judged:
        utterance = corpus.utterances[judgement.index]
        ids_of_texts.setdefault(utterance.text or "", utterance.id)
    fence = max(outer_fence([judgement.excess for _, judgement in judged]), _LEAST)
    ranked = sorted(judged, key=lambda pair: (-pair[1].excess, pair[1].index))
    suspects: list[Suspect] = []
    for recognizer, judgement in ranked:
        if judgement.excess <= fence and len(suspects) >= num_shown:
            break
        suspects.append(
            Suspect(
                corpus.utterances[judgement.index],
                judgement.index,
                judgement.heard,
                judgement.excess,
                tuple(explain(recognizer, corpus, judgement, ids_of_texts)),
                judgement.excess > fence,
            )
        )
    return suspects, fence


def judge(recognizer: Recognizer, corpus: Corpus, indices: Sequence[int]) -> Iterator[Judgement]:
    """Judge the utterances of `corpus` (normalised texts) at `indices`; units that the model lacks are skipped.

    Raises ConfigError for a model without CTC.
    """
    sizes = corpus.num_samples[np.asarray(indices)]
    for rows, frames, lengths in recognizer.batches(sizes, lambda row: corpus.audio(indices[row])):
        log_probs = recognizer.ctc(frames)
        heard = [recognizer.text(hypothesis.units) for hypothesis in best_path(log_probs, lengths)]
        written = [corpus.utterances[indices[row]].text or "" for row in rows]
        ours, theirs = ([_known_units(recognizer, text) for text in texts] for texts in (written, heard))
        losses = ctc_loss(log_probs, lengths, ours) - ctc_loss(log_probs, lengths, theirs)
        for row, text, units, loss in zip(rows, heard, ours, losses.tolist(), strict=True):
            yield Judgement(indices[row], text, loss / max(len(units), 1))


def outer_fence(values: Sequence[float]) -> float:
    """Compute Tukey's outer fence (1977), above which a value is an outlier; outliers themselves hardly move it."""
    low, high = np.percentile(values, [25, 75], method="lower")  # interpolation between infinities is NaN
    return float(high + 3 * (high - low))


def explain(recognizer: Recognizer, corpus: Corpus, judgement: Judgement, ids_of_texts: dict[str, str]) -> list[str]:
    """Return reasons why a transcript may not fit, in a few words each; none if the differences follow no pattern.

    `ids_of_texts` are the transcripts that may belong to this recording instead, each with the id of its first
    utterance.
    """
    audio, text = corpus.audio(judgement.index), corpus.utterances[judgement.index].text or ""
    if not judgement.heard:
        return ["nothing is recognised"]
    ((_, frames, _),) = recognizer.batches([len(audio)], lambda _: audio)
    log_probs = recognizer.ctc(frames)
    other = _better_transcript(recognizer, log_probs, judgement, text, ids_of_texts)
    if other is not None:
        return [f"looks like the transcript of {ids_of_texts[other]}: “{_quote(other)}”"]
    try:
        words, spelled = spell(recognizer, text)
        found, unwritten = find_words(recognizer, log_probs[0].cpu().numpy(), words, spelled)
    except AsrError as error:
        return [str(error)]
    spoken = [one is not None for one in found]
    if not any(spoken):
        return ["none of its words is recognised"]
    spans = [(one.start, one.end) for one in found if one is not None]
    return [*_unspoken(words, spoken), *_unwritten(unwritten, spans[0][0], spans[-1][1])]


def open_corpus(recognizer: Recognizer, manifest: Path, folder: Path, say: Callable[[str], None]) -> PackedCorpus:
    """Read the utterances of a manifest for `recognizer`, packed in `folder`; `say` gets each unreadable one."""
    data = recognizer.config.data
    utterances = read_manifest(manifest, require_text=True, text_field=data.text_field, allow_empty=data.train_on_empty)
    normalized = [replace(u, text=recognizer.normalizer(u.text or "")) for u in utterances]
    corpus = pack(normalized, recognizer.sample_rate, folder / "judged.arrow")
    if recognizer.config.features.equalize:
        corpus.equalize()
    for _, error in corpus.errors:
        say(f"left out: {error}")
    if not len(corpus):
        raise AsrError(f"{manifest}: none of its {len(utterances)} recordings can be read; the reasons are above")
    return corpus


def said_of_training(recognizer: Recognizer, utterances: Iterable[Utterance]) -> str:
    """Say whether a model was trained on some of these utterances, as far as its training manifests tell."""
    data = recognizer.config.data
    try:
        excluded = read_ids(data.exclude) if data.exclude is not None else set()
        seen = {_place(u) for path in data.train for u in read_manifest(path) if u.id not in excluded}
    except AsrError as error:
        return f"it is unknown whether it was trained on them ({error})"
    if known := sum(_place(utterance) in seen for utterance in utterances):
        return (
            f"WARNING: it was trained on {known} of them, and has learned their transcripts, right or wrong; "
            "`asr suspects CONFIG` judges each by a model that has not seen it"
        )
    return "it was trained on none of them"


def _place(utterance: Utterance) -> tuple[str, float]:
    return str(real_path(utterance.audio)), utterance.offset


def _known_units(recognizer: Recognizer, text: str) -> list[int]:
    units = recognizer.units
    return [index for part in units.split(text) if not units.unknown(part) for index in units.encode(part)]


def _better_transcript(
    recognizer: Recognizer, log_probs: torch.Tensor, judgement: Judgement, text: str, ids_of_texts: dict[str, str]
) -> str | None:
    """Return the transcript of another utterance that fits `log_probs (1, S, V)` clearly better, if there is one."""
    nearest = process.extract(judgement.heard, ids_of_texts.keys(), scorer=Levenshtein.distance, limit=_SHORTLIST)
    texts = [text, judgement.heard, *(other for other, *_ in nearest if other != text)]
    targets = [_known_units(recognizer, other) for other in texts]
    count, frames = len(targets), log_probs.shape[1]
    own, heard, *others = ctc_loss(log_probs.expand(count, -1, -1), torch.full((count,), frames), targets).tolist()
    if not others:
        return None
    best = int(np.argmin(others))
    return texts[2 + best] if others[best] - heard < _CLEAR * (own - heard) else None


def _unspoken(words: Sequence[str], spoken: Sequence[bool]) -> Iterator[str]:
    """Describe the words that are not spoken: at the end, at the beginning, in between."""
    first, last = spoken.index(True), len(spoken) - spoken[::-1].index(True)
    for name, missing in (("last", words[last:]), ("first", words[:first])):
        if missing:
            half = 0.4 <= len("".join(missing)) / len("".join(words)) <= 0.6
            part = f"{'second' if name == 'last' else 'first'} half" if half else f"{name} words"
            yield f"{part} not spoken: “{_quote(' '.join(missing))}”"
    inside = [word for word, here in zip(words[first:last], spoken[first:last], strict=True) if not here]
    if inside:
        yield f"not spoken: “{_quote(' '.join(inside))}”"


def _unwritten(spans: Sequence[tuple[float, float]], start: float, end: float) -> Iterator[str]:
    """Describe speech without text, before, after and within the text, which is spoken from `start` to `end`."""
    before, after = sum(b - a for a, b in spans if b <= start), sum(b - a for a, b in spans if a >= end)
    if after >= _AUDIBLE:
        yield f"audio continues {after:.1f} s after the text"
    if before >= _AUDIBLE:
        yield f"audio begins {before:.1f} s before the text"
    for a, b in spans:
        if start < b and a < end and b - a >= _AUDIBLE:
            yield f"{b - a:.1f} s at {a:.1f} s are not in the text"


def _quote(text: str) -> str:
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"
