"""Reader of the LJ Speech layout: `wavs/` and `metadata.csv` with `id|text` or `id|text|normalised text`."""

from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio, matches
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.table import parse
from asr.files import read_text
from asr.utterance import Utterance


def recognises(source: Path) -> bool:
    """Return True for a folder with `wavs/` and a `metadata.csv` that has no header."""
    try:
        with (source / "metadata.csv").open(encoding="utf-8", errors="replace") as file:
            first = file.readline(10_000)
    except OSError:
        return False
    return first.count("|") in (1, 2) and (source / "wavs").is_dir() and "file_name" not in first


def read(source: Path) -> Splits:
    """Read the normalised text if there is one, and keep the printed text in the field `raw_text`."""
    table = source / "metadata.csv"
    recordings = {path.stem: path for path in matches(source / "wavs", "*.*") if is_audio(path)}
    utterances = []
    for line, cells in parse(table, read_text(table, SourceError), "|", quoted=False):
        if len(cells) not in (2, 3):
            raise SourceError(f"{table}:{line}: has {len(cells)} cells; must be id|text or id|text|normalised text")
        audio = recordings.pop(cells[0], source / "wavs" / f"{cells[0]}.wav")
        extra = {"raw_text": cells[1]} if len(cells) == 3 else {}
        utterances.append(Utterance(id=cells[0], audio=audio, text=cells[-1], extra=extra))
    return {"": utterances + [Utterance(id=name, audio=path) for name, path in recordings.items()]}


READER = Reader("LJ Speech layout", recognises, read)
