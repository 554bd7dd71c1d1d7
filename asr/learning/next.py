"""Choose what to transcribe next: the segments that teach a model most, each with a reason, and write them as files."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.config import Config
from asr.corpus.manifest import read_manifest, utf8_name, write_manifest
from asr.errors import AsrError, AudioError, TextError
from asr.learning.candidates import Pool, find_candidates, voice_of
from asr.learning.ranking import Choice, Known, choose, reason
from asr.learning.transcribed import Transcribed, without_copies
from asr.progress import format_duration
from asr.recognition.transcriber import Transcriber
from asr.transcript import Transcript, Word
from asr.utterance import Utterance
from asr.wording import counted
from asr.writers import write

LIST_FILE = "next.jsonl"
_NAMED = 3  # copies that are named


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A segment to transcribe: start and end in seconds of its recording, and why, in words."""

    choice: Choice
    reason: str

    @property
    def utterance(self) -> Utterance:
        """The segment as a line of a manifest, with its reason and the hypothesis of the model."""
        one = self.choice.candidate
        audio = Path(utf8_name(one.utterance.audio))
        return Utterance(
            id=f"{audio.stem}@{one.start:.2f}",
            audio=audio,
            offset=round(one.start, 3),
            duration=round(one.seconds, 3),
            speaker=one.utterance.speaker,
            extra={
                "hypothesis": " ".join(word.text for word in one.words),
                "doubt": round(one.doubt, 3),
                "gain": round(self.choice.gain, 3),
                "reason": self.reason,
            },
        )


def suggest(
    model: Transcriber,
    utterances: Sequence[Utterance],
    transcripts: Sequence[Utterance],
    seconds: float,
    say: Callable[[str], None],
) -> tuple[list[Suggestion], list[AudioError]]:
    """Choose segments of recordings that together last at most `seconds`, the most useful first.

    `transcripts` are utterances with texts: their spans are left out, and so are copies of recordings, which are named.
    Returns also the errors of recordings that cannot be read, which stop no other. Raises ConfigError for a model
    without CTC, and AsrError if nothing is left to transcribe, or nothing so short.
    """
    transcribed = Transcribed(transcripts)
    asked, copies = without_copies([one for one in utterances if not one.text])
    if with_text := sum(bool(one.text) for one in utterances):
        say(counted("{} line<s> <has|have> a text already, and <is|are> left out", with_text))
    pool = find_candidates(model, asked, transcribed.spans)
    for error in pool.errors:
        say(f"asr: {error}")
    _say_copies("copies of recordings in this list", copies, say)
    _say_copies("copies of transcribed recordings", transcribed.copies, say)
    say(_describe(pool))
    if not pool.candidates:
        raise AsrError(
            "nothing is left to transcribe: no segment has speech in which the model finds a letter, and no transcript"
        )
    known = Known.of(_spelled(model, transcripts))
    segments = Counter(one.utterance.audio for one in pool.candidates)
    found = [
        Suggestion(choice, reason(choice, alone=segments[choice.candidate.utterance.audio] == 1))
        for choice in choose(pool.candidates, known, seconds)
    ]
    if not found:
        shortest = min(one.seconds for one in pool.candidates)
        raise AsrError(
            f"the shortest segment lasts {shortest:.1f} s, longer than all that may be chosen; raise --minutes"
        )
    return found, pool.errors


def transcripts_of(config: Config, manifests: Sequence[Path], say: Callable[[str], None]) -> list[Utterance]:
    """Return the utterances of manifests, or else of the training and validation data of a configuration.

    Data of the configuration that is not there any more is named. Raises ManifestError for a faulty manifest.
    """
    field = config.data.text_field
    if manifests:
        return [one for path in manifests for one in read_manifest(path, text_field=field)]
    found: list[Utterance] = []
    for path in map(Path, (*config.data.train, *config.data.validation)):
        if path.is_file():
            found += read_manifest(path, text_field=field)
        else:
            say(
                f"{path}: the model was trained or validated on it, and it is not here: its recordings are not left "
                "out, and its texts are not known; run the command in the folder of the training, or name the "
                "transcripts with --transcribed"
            )
    return found


def write_suggestions(
    out: Path, suggestions: Sequence[Suggestion], names: dict[Path, Path], *, empty: bool
) -> list[Path]:
    """Write `next.jsonl`, and an ELAN file for each recording with a tier of the segments; return the ELAN files.

    `names` are the paths of the ELAN files in `out`, without suffix, by recording. With `empty`, annotations hold no
    text; else they hold the hypothesis. Raises AsrError if one of the files is there: it may hold a person's work.
    """
    by_recording: dict[Path, list[Suggestion]] = {}
    for one in suggestions:
        by_recording.setdefault(one.choice.candidate.utterance.audio, []).append(one)
    files = {recording: out / f"{names[recording]}.eaf" for recording in by_recording}
    if there := [path for path in files.values() if path.exists()]:
        raise AsrError(
            f"{there[0]}: is there already, and may hold your transcripts"
            f"{f', and so may {len(there) - 1} others' if there[1:] else ''}; name another folder with -o"
        )
    for recording, chosen in by_recording.items():
        write(_tier(chosen, empty=empty), recording, {"eaf": files[recording]})
    write_manifest(out / LIST_FILE, [one.utterance for one in suggestions])
    return list(files.values())


def _tier(suggestions: Iterable[Suggestion], *, empty: bool) -> Transcript:
    """Return the chosen segments of a recording as a transcript, in the order of time."""
    segments = sorted((one.choice.candidate for one in suggestions), key=lambda one: one.start)
    words: list[Word] = []
    for one in segments:
        drafted = () if empty else one.words
        words += drafted or (Word("", one.start, one.end, 1.0),)
    speech = tuple((one.start, one.end) for one in segments)
    return Transcript(" ".join(word.text for word in words), segments[-1].end, tuple(words), speech=speech)


def _spelled(model: Transcriber, transcripts: Iterable[Utterance]) -> Iterable[tuple[str, list[int], str]]:
    """Yield text, units and voice of transcripts; a text with characters that the model lacks has no units."""
    for one in transcripts:
        text = model.normalizer(one.text or "")
        try:
            units = model.units.encode(text)
        except TextError:
            units = []
        yield text, units, voice_of(one)


def _describe(pool: Pool) -> str:
    found = sum(one.seconds for one in pool.candidates)
    parts = {
        "have a transcript": pool.transcribed,
        "are silence or noise": pool.silent,
        "are sounds in which the model finds no letter": pool.wordless,
    }
    others = [f"{format_duration(seconds)} {what}" for what, seconds in parts.items() if seconds >= 0.5]
    return f"{counted('{} segment<s>', len(pool.candidates))} to choose from, {format_duration(found)}" + "".join(
        f"; {other}" for other in others
    )


def _say_copies(what: str, copies: dict[Path, Path], say: Callable[[str], None]) -> None:
    if copies:
        named = ", ".join(f"{copy} (as {original})" for copy, original in list(copies.items())[:_NAMED])
        more = f", and {len(copies) - _NAMED} more" if len(copies) > _NAMED else ""
        say(f"{what}, left out: {named}{more}")
