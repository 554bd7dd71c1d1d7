"""Reader of fairseq's lists: `train.tsv` (a root, then paths and sizes), with `train.wrd` or `train.ltr`."""

import re
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.readers.files import SourceError, is_file, matches, split_files
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import source_lines
from asr.corpus.readers.recordings import Recordings
from asr.errors import raise_problems
from asr.utterance import Utterance
from asr.wording import counted

_ROW = re.compile(r"([^\t]+)\t(\d{1,12})\s*")
_BETWEEN = "|"  # stands between words in a `.ltr` file


def recognises(source: Path) -> bool:
    """Return True for a `.tsv` file of fairseq, or a folder with such files."""
    return any(map(is_fairseq, [source] if source.is_file() else matches(source, "*.tsv")))


def read(source: Path) -> Splits:
    """Read one list, or one list per split. Line N of the labels is the text of row N of the list.

    A list without `.wrd` and `.ltr` gives recordings without text. If the root does not exist, the recordings are
    searched under the folder of the list. Raises SourceError that names each faulty row.
    """
    paths = [source] if source.is_file() else list(filter(is_fairseq, matches(source, "*.tsv")))
    recordings = Recordings(source if source.is_dir() else source.parent)
    return {split: list(_read_list(path, recordings)) for split, path in split_files(paths).items()}


READER = Reader("fairseq lists (.tsv with .wrd or .ltr)", recognises, read)


def is_fairseq(path: Path) -> bool:
    """Return True for a list of fairseq."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            root, first = file.readline(10_000), file.readline(10_000)
    except OSError:
        return False
    return bool(root.strip()) and "\t" not in root and _ROW.fullmatch(first) is not None


def _read_list(path: Path, recordings: Recordings) -> Iterator[Utterance]:
    root, *lines = source_lines(path)
    rows = [(number, line) for number, line in enumerate(lines, start=2) if line.strip()]
    labels = _labels(path)
    if labels is not None and len(labels[1]) != len(rows):
        raise SourceError(
            f"{labels[0]}: has {counted('{} line<s>', len(labels[1]))}, but {path.name} lists "
            f"{counted('{} recording<s>', len(rows))}; line N must be the text of recording N, so make both files again"
        )
    problems = []
    for place, (number, line) in enumerate(rows):
        match = _ROW.fullmatch(line)
        if match is None:
            problems.append(f"{path}:{number}: {line[:60]!r} is not a path, a tab and a count of samples; correct it")
            continue
        try:
            stated = Path(root.strip()) / match[1]
            audio = stated if is_file(stated) else recordings.find(match[1])
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        text = labels[1][place] if labels is not None else None
        yield Utterance(id=recordings.identify(audio), audio=audio, text=text)
    raise_problems(problems, SourceError)


def _labels(path: Path) -> tuple[Path, list[str]] | None:
    """Return the file with the texts of a list, and the texts: words, or letters that are joined."""
    for suffix in (".wrd", ".ltr"):
        labels = path.with_suffix(suffix)
        if labels.is_file():
            lines = source_lines(labels)
            texts = lines[:-1] if lines[-1] == "" else lines
            if suffix == ".ltr":
                texts = ["".join(" " if letter == _BETWEEN else letter for letter in text.split()) for text in texts]
            return labels, [" ".join(text.split()) for text in texts]
    return None
