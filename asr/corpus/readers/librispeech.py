"""Reader of the LibriSpeech layout: `SPLIT/SPEAKER/CHAPTER/*.trans.txt`, with the id and the text in each line."""

from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio, matches
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import numbered_lines, read_each
from asr.utterance import Utterance


def recognises(source: Path) -> bool:
    """Return True for a folder of splits, or for one split."""
    try:
        return any(next(source.glob(pattern), None) for pattern in ("*/*/*/*.trans.txt", "*/*/*.trans.txt"))
    except OSError:
        return False


def read(source: Path) -> Splits:
    """Read the splits by the names of their folders, or one undivided split if `source` is a split itself."""
    splits: Splits = {}
    transcripts = matches(source, "*/*/*/*.trans.txt", "*/*/*.trans.txt")
    for transcript, chapter in read_each(transcripts, lambda path: (path, _read_chapter(path))):
        folders = transcript.relative_to(source).parts
        splits.setdefault(folders[0] if len(folders) == 4 else "", []).extend(chapter)
    return splits


def read_part(source: Path, part: str) -> list[Utterance]:
    """Read the split `part`, at any depth below `source`. Raises SourceError if it is not there."""
    found = next(source.glob(f"**/{part}/*/*/*.trans.txt"), None)
    if found is None:
        raise SourceError(
            f"{source}: holds no {part}/SPEAKER/CHAPTER/*.trans.txt; give a folder of LibriSpeech with the part {part}"
        )
    return read(found.parents[2])[""]


READER = Reader("LibriSpeech layout", recognises, read)


def _read_chapter(transcript: Path) -> list[Utterance]:
    folder = transcript.parent
    recordings = {path.stem: path for path in matches(folder, "*.*") if is_audio(path)}
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in numbered_lines(transcript):
        name, _, text = line.partition(" ")
        if name in texts:
            raise SourceError(f"{transcript}:{number}: has the id {name} of line {lines[name]}; ids must differ")
        texts[name], lines[name] = text, number
    return [
        Utterance(
            id=name,
            audio=recordings.get(name, folder / f"{name}.flac"),
            text=texts.get(name),
            speaker=folder.parent.name,
        )
        for name in sorted(texts.keys() | recordings.keys())
    ]
