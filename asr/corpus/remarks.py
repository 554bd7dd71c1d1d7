"""Remarks of `asr prepare`: marks of silence, overlaps, utterances that end after their recording, unused files."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from asr.corpus.marks import marks
from asr.corpus.overlaps import overlaps
from asr.corpus.readers.files import is_audio, walk
from asr.corpus.readers.pairs import suggest
from asr.corpus.readers.reader import Reader
from asr.corpus.readers.reading import Reading
from asr.corpus.readers.times import length
from asr.corpus.unused import unused_files
from asr.decoders import TOLERANCE
from asr.utterance import Utterance
from asr.wording import counted

_MARKS = 5  # marks that are named
_RECORDINGS = 50  # recordings whose lengths are looked up


def remarks(rows: Sequence[Utterance]) -> Iterator[str]:
    """Yield what is remarkable about utterances: texts that look like marks, overlaps, and ends beyond recordings."""
    if found := marks(row.text or "" for row in rows):
        named = ", ".join(f"{text} ({counted('{} time<s>', count)})" for text, count in found.most_common(_MARKS))
        drops = " ".join(f"--drop {quote(text)}" for text, _ in found.most_common(_MARKS))
        more = f", and {len(found) - _MARKS} more" if len(found) > _MARKS else ""
        yield f"texts that look like marks of silence or noise: {named}{more}; {drops} leaves them out"
    pairs = list(overlaps(rows))
    if pairs:
        others = sum(pair.speakers for pair in pairs)
        speakers = f", {others} of different speakers" if others else ""
        counted_pairs = counted("{} pair<s> of utterances overlap<s|>", sum(pair.count for pair in pairs))
        yield (f"{counted_pairs} in time{speakers}, such as {rows[pairs[0].earlier].id} and {rows[pairs[0].later].id}")
    beyond = list(_beyond(rows))
    if beyond:
        first, seconds = beyond[0]
        end = first.offset + (first.duration or 0.0)
        yield counted("{} utterance<s> end<s|> after <its recording|their recordings>", len(beyond)) + (
            f": {first.id} ends at {end:.2f} s, {first.audio.name} at {seconds:.2f} s; asr check names them all"
        )


def advice(place: Path, reader: Reader, found: Reading, rows: Sequence[Utterance]) -> list[str]:
    """Return the recordings and texts that were not used, with the reasons, and the `--pair` that their names suggest.

    `rows` are the utterances with a text and a recording. There is no advice on a single file, nor on
    a reader that does not track its files.
    """
    if not (reader.tracks_files and place.is_dir()):
        return []
    listed = {(row.audio.parent, row.audio.stem) for row in rows}
    files = walk(place)
    alone = [path for path in files if is_audio(path) and (path.parent, path.stem) not in listed]
    texted = {row.audio.stem for row in rows} | {row.id.partition("@")[0].rpartition("/")[2] for row in rows}
    texts = [path for path in files if not is_audio(path) and path.stem not in texted]
    lines = []
    if alone and rows and not reader.is_fallback:  # a folder of recordings lists all of them
        textless = counted("{} recording<s> <has|have> no text", len(alone))
        lines.append(f"{textless}: {alone[0].name}{', …' if len(alone) > 1 else ''}")
    if alone and texts and (options := suggest(alone, texts)):
        lines.append(f"the names of recordings and texts differ; pair them with {options}")
    else:
        lines += unused_files(place, found.used)
    return lines


def _beyond(rows: Sequence[Utterance]) -> Iterator[tuple[Utterance, float]]:
    """Yield the utterances that end after their recordings, with the lengths (s), for the first recordings."""
    parts: dict[Path, list[Utterance]] = defaultdict(list)
    for row in rows:
        if row.duration is not None:
            parts[row.audio].append(row)
    for audio, utterances in list(parts.items())[:_RECORDINGS]:
        if known := length(audio):
            yield from (
                (row, known[0]) for row in utterances if row.offset + (row.duration or 0) > known[0] + TOLERANCE
            )
