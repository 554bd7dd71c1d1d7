"""Pseudo transcripts: a teacher transcribes recordings without texts, and the texts it is sure of are kept."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from asr.corpus.manifest import utf8_name, write_manifest
from asr.decoding.greedy import best_path
from asr.errors import AudioError, one_line
from asr.files import file_digest
from asr.progress import ProgressBar
from asr.recognition.align import LONGEST, divided, segment_lines
from asr.recognition.longform import SegmentFrames, Track
from asr.recognition.transcribe import transcribe
from asr.recognition.transcriber import Transcriber
from asr.transcript import Transcript, Word, text_of
from asr.utterance import Utterance

WEIGHT_FIELD = "weight"  # field of a line: the confidence of its text, which is its weight in the loss
REASON_FIELD = "refused"
_NOT_UTF8 = "has a name that is not UTF-8, which a manifest cannot hold; rename it, for example with convmv"
LEAST_AGREEMENT = 0.7  # share of characters that best path and the search with a language model must have in common
LEAST_CONFIDENCE = 0.4  # mean confidence of the words of a text


@dataclass(slots=True)
class Pseudo:
    """Pseudo transcripts: the lines taken, and the lines refused, each with the reason."""

    taken: list[Utterance] = field(default_factory=list)
    refused: list[Utterance] = field(default_factory=list)
    # Seconds of audio taken (""), and refused for each reason.
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def report(self) -> Iterator[str]:
        """Say in lines how much was taken, and how much was refused and why."""
        yield f"pseudo transcripts: {len(self.taken)} taken ({self.seconds[''] / 3600:.2f} h)"
        counts = Counter(str(line.extra[REASON_FIELD]).partition(":")[0] for line in self.refused)
        for reason, count in counts.most_common():
            yield f"  {count} refused ({self.seconds[reason] / 3600:.2f} h): {reason}"


def pseudo_transcripts(
    teacher: Transcriber, recordings: Sequence[Utterance], *, used: Mapping[str, Sequence[Utterance]]
) -> Pseudo:
    """Transcribe recordings, divided between pauses where they are long, and choose the texts to train on.

    `used` are utterances that must not be trained on, by what they are used for: such as "validation". They are found
    by the bytes of their files, whatever the names; the rest of such a file is free. A text is refused if best path and
    the teacher's own decoder disagree, or if its words are of low confidence. Texts in the manifest of the recordings
    are not read. Raises ConfigError for a teacher without CTC.
    """
    teacher.require_ctc()
    found = Pseudo()
    places = _Places(used)
    free: list[Utterance] = []
    for utterance in recordings:
        plain = replace(utterance, text=None, extra={})
        if (name := utf8_name(utterance.audio)) != str(utterance.audio):
            _refuse(found, replace(plain, audio=Path(name)), _NOT_UTF8, utterance.duration or 0.0)
        elif utterance.duration is not None and (reason := places.overlap(utterance)):
            _refuse(found, plain, reason, utterance.duration)
        else:
            free.append(plain)
    spoken: defaultdict[int, list[Word]] = defaultdict(list)  # words of the best path, by the utterance

    def note(track: Track, segment: SegmentFrames, text: str) -> None:
        (path,) = best_path(teacher.unit_rows(segment.frames)[None], [len(segment.frames)])
        spoken[id(track.utterance)] += teacher.words(segment.frames, segment.start, path.units)

    with ProgressBar("transcribing", len(free)) as bar:
        for utterance, result in transcribe(teacher, free, on_segment=note):
            bar.advance()
            by_best_path = spoken.pop(id(utterance), [])
            if isinstance(result, AudioError):
                bar.print(f"asr: {result}")
                _refuse(found, utterance, "cannot be read", utterance.duration or 0.0)
                continue
            moved = [replace(w, start=w.start + utterance.offset, end=w.end + utterance.offset) for w in by_best_path]
            _divide(found, utterance, result, moved, places)
    return found


def write_pseudo(found: Pseudo, folder: Path) -> tuple[Path, Path]:
    """Write the lines taken to pseudo.jsonl and the lines refused to refused.jsonl in a folder; return both paths."""
    taken, refused = folder / "pseudo.jsonl", folder / "refused.jsonl"
    write_manifest(taken, found.taken)
    write_manifest(refused, found.refused)
    return taken, refused


def _divide(
    found: Pseudo, utterance: Utterance, result: Transcript, by_best_path: Sequence[Word], places: "_Places"
) -> None:
    """Divide a transcript into lines to train on, and take or refuse each."""
    if not result.words:
        _refuse(found, utterance, "no speech found", result.duration)
        return
    if utterance.duration is not None or result.duration <= LONGEST:
        lines = [(replace(utterance, duration=round(result.duration, 3)), result.words)]
    else:
        parts = list(divided(segment.words for segment in result.segments))
        end = utterance.offset + result.duration
        lines = list(zip(segment_lines(parts, result.words, end, utterance.audio, utterance.id), parts, strict=True))
    for line, words in lines:
        start, end = line.offset, line.offset + (line.duration or math.inf)
        heard = text_of([word for word in by_best_path if start <= (word.start + word.end) / 2 < end])
        text = text_of(words)
        confidence = sum(word.confidence for word in words) / len(words)
        agreement = Levenshtein.normalized_similarity(text, heard)
        extra = {WEIGHT_FIELD: round(confidence, 3), "agreement": round(agreement, 3)}
        line = replace(line, text=text, extra=extra)
        if reason := places.overlap(line):
            _refuse(found, line, reason, line.duration or 0.0)
        elif agreement < LEAST_AGREEMENT:
            _refuse(found, line, f"best path and the search disagree: {one_line(heard)}", line.duration or 0.0)
        elif confidence < LEAST_CONFIDENCE:
            _refuse(found, line, "low confidence", line.duration or 0.0)
        else:
            found.taken.append(line)
            found.seconds[""] += line.duration or 0.0


def _refuse(found: Pseudo, line: Utterance, reason: str, seconds: float) -> None:
    found.refused.append(replace(line, extra={**line.extra, REASON_FIELD: reason}))
    found.seconds[reason.partition(":")[0]] += seconds


class _Places:
    """The places of utterances in their recordings, which are known by the digests of their files."""

    def __init__(self, used: Mapping[str, Sequence[Utterance]]) -> None:
        self._digests: dict[Path, str] = {}
        self._used: defaultdict[str, list[tuple[float, float, str]]] = defaultdict(list)
        for purpose, utterances in used.items():
            for utterance in utterances:
                self._used[self._digest(utterance.audio)].append((*_span(utterance), purpose))

    def overlap(self, utterance: Utterance) -> str | None:
        """Return why an utterance must not be used, or None."""
        start, end = _span(utterance)
        for first, last, purpose in self._used.get(self._digest(utterance.audio), ()):
            if first < end and start < last:
                return f"is {purpose} data"
        return None

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = file_digest(path) or str(path)  # the reader of a recording says why it cannot be read
        return self._digests[path]


def _span(utterance: Utterance) -> tuple[float, float]:
    return utterance.offset, utterance.offset + (math.inf if utterance.duration is None else utterance.duration)
