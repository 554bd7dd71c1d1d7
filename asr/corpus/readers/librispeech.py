"""LibriSpeech layout: `SPLIT/SPEAKER/CHAPTER/*.trans.txt`, each line an utterance's id and its text."""

from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio, matches, numbered_lines
from asr.utterance import Utterance

NAME = "LibriSpeech layout"


def recognises(source: Path) -> bool:
    """A folder of splits, or one split."""
    try:
        return any(next(source.glob(pattern), None) for pattern in ("*/*/*/*.trans.txt", "*/*/*.trans.txt"))
    except OSError:
        return False


def read(source: Path) -> dict[str, list[Utterance]]:
    """Splits are called as their folders; "" where `source` is a split itself."""
    splits: dict[str, list[Utterance]] = {}
    for transcript in matches(source, "*/*/*/*.trans.txt", "*/*/*.trans.txt"):
        folders = transcript.relative_to(source).parts
        splits.setdefault(folders[0] if len(folders) == 4 else "", []).extend(_read_chapter(transcript))
    return splits


def read_part(source: Path, part: str) -> list[Utterance]:
    """The utterances of the split `part`, which lies somewhere below `source`. Raises SourceError where it does not."""
    found = next(source.glob(f"**/{part}/*/*/*.trans.txt"), None)
    if found is None:
        raise SourceError(f"{source}: holds no {part}/SPEAKER/CHAPTER/*.trans.txt; is it LibriSpeech, with that part?")
    return read(found.parents[2])[""]


def _read_chapter(transcript: Path) -> list[Utterance]:
    folder = transcript.parent
    recordings = {path.stem: path for path in matches(folder, "*.*") if is_audio(path)}
    texts = dict(line.partition(" ")[::2] for _, line in numbered_lines(transcript))
    return [
        Utterance(
            id=name,
            audio=recordings.get(name, folder / f"{name}.flac"),
            text=texts.get(name),
            speaker=folder.parent.name,
        )
        for name in sorted(texts.keys() | recordings.keys())
    ]
