"""Reader of the LJ Speech layout: `wavs/` and `metadata.csv` with `id|text`, `id|text|normalised text` or a speaker."""

from pathlib import Path

from asr.corpus.readers.columns import few_values
from asr.corpus.readers.files import SourceError, is_audio, is_file
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import first_text, note, source_text
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.table import parse
from asr.utterance import Utterance


def recognises(source: Path) -> bool:
    """Return True for a folder with `wavs/` and a `metadata.csv` that has no header."""
    first = first_text(source / "metadata.csv").partition("\n")[0]
    return first.count("|") in (1, 2) and (source / "wavs").is_dir() and "file_name" not in first


def read(source: Path) -> Splits:
    """Read the normalised text if there is one, and keep the printed text in the field `raw_text`.

    Of three columns, one that repeats a few values is the speaker. Raises SourceError for rows of other lengths, and
    if it is not clear which column is the text.
    """
    table = source / "metadata.csv"
    recordings = Recordings(source / "wavs")
    parsed = parse(table, source_text(table), "|", quoted=False)
    rows = [(line, [cell.strip() for cell in cells]) for line, cells in parsed]
    for line, cells in rows:
        if len(cells) not in (2, 3):
            raise SourceError(f"{table}:{line}: has {len(cells)} cells; must be id|text or id|text|normalised text")
    speaker = _speaker_column(table, [cells for _, cells in rows if len(cells) == 3])
    found = recordings.find_all(cells[0] for _, cells in rows)
    lines: dict[str, int] = {}
    utterances = []
    for line, cells in rows:
        if cells[0] in lines:
            raise SourceError(f"{table}:{line}: has the id {cells[0]} of line {lines[cells[0]]}; ids must differ")
        lines[cells[0]] = line
        audio = found[cells[0]]
        if isinstance(audio, ValueError):
            raise SourceError(f"{table}:{line}: {audio}")
        if not is_file(audio) and not is_audio(audio):
            audio = audio.with_name(f"{audio.name}.wav")
        if len(cells) == 3 and speaker is not None:
            utterances.append(Utterance(cells[0], audio, text=cells[3 - speaker], speaker=cells[speaker]))
        else:
            extra = {"raw_text": cells[1]} if len(cells) == 3 else {}
            utterances.append(Utterance(cells[0], audio, text=cells[-1], extra=extra))
    listed = {utterance.audio for utterance in utterances}
    alone = [path for path in recordings.paths if path not in listed]
    return {"": utterances + [Utterance(id=recordings.identify(path), audio=path) for path in alone]}


READER = Reader("LJ Speech layout", recognises, read)


def _speaker_column(table: Path, rows: list[list[str]]) -> int | None:
    """Return the place of the column with the speaker; None if both columns after the id are forms of the text."""
    alike = sum(bool(_words(cells[1]) & _words(cells[2])) for cells in rows)
    if not rows or 2 * alike > len(rows):
        return None
    few = [few_values([cells[place] for cells in rows]) for place in (1, 2)]
    single = [2 * sum(" " not in cells[place] for cells in rows) > len(rows) for place in (1, 2)]
    example = f"{rows[0][1]!r} and {rows[0][2]!r}"
    if few[0] != few[1]:
        place = 1 + few.index(True)
        note(f"column {place + 1} repeats a few values, so it is read as the speaker", f"{rows[0][place]!r}")
        return place
    if single[0] != single[1]:
        place = 1 + single.index(True)
        note(f"column {place + 1} has single words, so it is read as the speaker", f"{rows[0][place]!r}")
        return place
    if any(few) and len({(cells[1], cells[2]) for cells in rows}) > len({cells[1] for cells in rows}):
        raise SourceError(
            f"{table}: columns 2 and 3 both repeat a few values, such as {example}; say which is the text: "
            "--format table --columns file=1,text=2,speaker=3"
        )
    note("columns 2 and 3 have no word in common; column 3 is read as the text", example)
    return None


def _words(text: str) -> set[str]:
    return set(text.casefold().split())
