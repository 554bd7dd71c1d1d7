"""Reading and writing of ARPA files, the text format of n-gram models that KenLM, SRILM and others share.

Numbers in a file are base-10 logarithms. All lines before `\\data\\` are comments. Our comment begins with `#`, as
KenLM requires, and names the units of the model.
"""

import gzip
import io
import math
import re
import zlib
from array import array
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from asr.errors import LanguageModelError
from asr.files import whole_file
from asr.lm.ngram import MOST_ORDER, SPACE, SPECIALS, Kind, Level, NGram
from asr.wording import counted

_LN10 = math.log(10)
_ABSENT = -100.0  # log10 probability of <unk>, <s> or </s> if a file lacks it, as in KenLM
_LOWEST = -999.0  # log10, in place of -inf, which would make sums of back-off weights NaN
_UNITS = "# units: "
_MOST_LINE = 1 << 20  # bytes of a line
_MOST_EXPANSION = 100  # times the size of a compressed file; n-grams grow to about 5 times
_MIN_LIMIT = 10_000_000  # bytes that any compressed file may grow to


def read_arpa(path: str | Path) -> NGram:
    """Read an ARPA file of any order, compressed if its name ends in `.gz`.

    Our comment names the units of the model. Without it they are characters if `<space>` is a token, else words.
    Raises LanguageModelError that names the file and the line if the file is malformed.
    """
    path = Path(path)
    if not path.is_file():
        raise LanguageModelError(f"{path}: no such language model; make one with `asr lm TEXT -o {path}`")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        limit = max(path.stat().st_size * _MOST_EXPANSION, _MIN_LIMIT)
        lines = _Lines(path, cast("IO[bytes]", file), limit if path.suffix == ".gz" else math.inf)
        try:
            return _read(lines)
        except OSError as error:
            if not isinstance(error, gzip.BadGzipFile):
                raise lines.error(f"cannot be read: {error.strerror}; check the file and its permissions") from None
            raise lines.error("the compressed file is damaged; copy it again") from None
        except (EOFError, zlib.error):
            raise lines.error("the compressed file is damaged; copy it again") from None


def write_arpa(path: str | Path, model: NGram, comments: Iterable[str] = ()) -> None:
    """Write a model, whole or not at all, with `comments` first; compressed if `path` ends in `.gz`.

    Raises OutputError if the file cannot be written.
    """
    path = Path(path)
    levels = model.levels
    with ExitStack() as stack:
        raw: Any = stack.enter_context(whole_file(path))
        if path.suffix == ".gz":
            raw = stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))  # equal models: equal bytes
        file = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
        stack.callback(file.detach)  # which writes the rest, and does not close `raw`
        file.writelines(f"# {comment}\n" for comment in comments)
        file.write(f"{_UNITS}{model.units}\n\n\\data\\\n")
        file.writelines(f"ngram {order}={len(level.token)}\n" for order, level in enumerate(levels, start=1))
        names = [""]
        for order, level in enumerate(levels, start=1):
            file.write(f"\n\\{order}-grams:\n")
            words = [model.vocabulary[token] for token in level.token.tolist()]
            if order > 1:
                words = [f"{names[parent]} {word}" for parent, word in zip(level.parent.tolist(), words, strict=True)]
            names = words
            # Adding 0 turns -0 into 0. Divided in float32, -99 would be written as another number.
            columns = (level.log_prob.astype(float), level.backoff.astype(float))
            log_probs, backoffs = ((column / _LN10 + 0.0).tolist() for column in columns)
            if order < len(levels):
                rows = zip(log_probs, names, backoffs, strict=True)
                file.writelines(f"{log_prob:.7g}\t{name}\t{backoff:.7g}\n" for log_prob, name, backoff in rows)
            else:
                file.writelines(f"{log_prob:.7g}\t{name}\n" for log_prob, name in zip(log_probs, names, strict=True))
        file.write("\n\\end\\\n")


class _Lines:
    """Iterator over the lines of a file that are not blank, as bytes without white space around them."""

    def __init__(self, path: Path, file: IO[bytes], limit: float) -> None:
        """`limit` is the number of bytes after which a file is refused."""
        self.path, self.number = path, 0
        self._file, self._left = file, limit

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> bytes:
        while line := self._file.readline(_MOST_LINE):
            self.number += 1
            self._left -= len(line)
            if len(line) == _MOST_LINE:
                raise self.error(f"the line is longer than {_MOST_LINE} bytes; it is no ARPA file")
            if self._left < 0:
                raise self.error(f"the file grows to more than {_MOST_EXPANSION} times its size; uncompress it first")
            if line := line.strip():
                return line
        raise self.error(r"the file ends before \end\; it is cut off, or no ARPA file")

    def error(self, message: str, number: int | None = None) -> LanguageModelError:
        return LanguageModelError(f"{self.path}:{number or self.number}: {message}")


class _Section:
    """The n-grams of one order in the order of the file, with their line numbers."""

    def __init__(self) -> None:
        self.numbers, self.tokens = array("q"), array("q")
        self.log_probs, self.backoffs = array("d"), array("d")

    def append(self, number: int, tokens: Iterable[int], log_prob: float, backoff: float) -> None:
        self.numbers.append(number)
        self.tokens.extend(tokens)
        self.log_probs.append(log_prob)
        self.backoffs.append(backoff)


def _read(lines: _Lines) -> NGram:
    units = _read_comments(lines)
    counts, line = _read_counts(lines)
    index = {name.encode(): number for number, name in enumerate(SPECIALS)}
    sections = []
    for order, count in enumerate(counts, start=1):
        _expect(lines, line, rf"\{order}-grams:")
        section, line = _read_section(lines, order, index)
        if len(section.numbers) != count:
            raise lines.error(f"{len(section.numbers)} {order}-grams end here, \\data\\ announces {count}")
        sections.append(section)
    _expect(lines, line, "\\end\\")
    for absent in set(range(len(SPECIALS))).difference(sections[0].tokens):
        sections[0].append(0, [absent], _ABSENT, 0.0)
    vocabulary = []
    for word in index:
        try:
            vocabulary.append(word.decode())
        except UnicodeDecodeError:
            raise LanguageModelError(f"{lines.path}: the word {word!r} is not UTF-8; save the file as UTF-8") from None
    levels: list[Level] = []
    for section in sections:
        levels.append(_level(lines, section, levels, vocabulary))
    # Some programs write back-off weights for the highest order too, but no history is that long.
    levels[-1] = levels[-1]._replace(backoff=np.zeros_like(levels[-1].backoff))
    while not len(levels[-1].token):  # "ngram 3=0": the text was too short for this order
        levels.pop()
    return NGram(vocabulary, levels, units or ("characters" if SPACE in vocabulary else "words"))


def _read_comments(lines: _Lines) -> Kind | None:
    units: Kind | None = None
    for line in lines:
        if line == b"\\data\\":
            return units
        if line.startswith(_UNITS.encode()):
            units = "characters" if line.endswith(b"characters") else "words"
    raise AssertionError("lines end in an error")


def _read_counts(lines: _Lines) -> tuple[list[int], bytes]:
    """Read the number of n-grams of each order; also return the line after them."""
    counts: list[int] = []
    for line in lines:
        match = re.fullmatch(rb"ngram\s+(\d{1,4})\s*=\s*(\d{1,18})", line)
        if match is None:
            break
        if int(match[1]) != len(counts) + 1:
            raise lines.error(f"{_shown(line)}: the orders must be 1, 2, 3 … without a gap")
        if len(counts) == MOST_ORDER:
            raise lines.error(f"the model has n-grams of more than {MOST_ORDER} words; take a model of 3 to 6")
        counts.append(int(match[2]))
    if not counts:
        raise lines.error(rf"after \data\ must come `ngram 1=COUNT`, not {_shown(line)}")
    return counts, line


def _read_section(lines: _Lines, order: int, index: dict[bytes, int]) -> tuple[_Section, bytes]:
    """Read the n-grams of one order; also return the line after them. `index` numbers tokens; 1-grams add to it."""
    section = _Section()
    for line in lines:
        if line.startswith(b"\\"):
            break
        log_prob, *words = line.split()
        try:
            probability = float(log_prob)
            backoff = float(words.pop()) if len(words) == order + 1 else 0.0
        except ValueError:
            raise lines.error(f"{_shown(line)}: the first and last column must be numbers") from None
        if len(words) != order:
            raise lines.error(
                f"{_shown(line)}: must be a log10 probability, {counted('{} word<s>', order)}, and a back-off weight "
                "or none"
            )
        if not probability <= 0.0 or not backoff < math.inf:
            raise lines.error(f"{_shown(line)}: the log10 probability must be 0 or less, the back-off weight finite")
        if order == 1:
            index.setdefault(words[0], len(index))
        try:
            tokens = [index[word] for word in words]
        except KeyError as error:
            raise lines.error(f"{_shown(line)}: {_shown(error.args[0])} is not among the 1-grams") from None
        section.append(lines.number, tokens, max(probability, _LOWEST), max(backoff, _LOWEST))
    return section, line


def _level(lines: _Lines, section: _Section, below: Sequence[Level], vocabulary: Sequence[str]) -> Level:
    """Build one order of the trie from n-grams in any order. Raises LanguageModelError for doubles and orphans."""
    tokens = np.array(section.tokens).reshape(len(section.numbers), len(below) + 1)
    node = np.zeros(len(tokens), dtype=np.int64)
    for column, level in zip(tokens.T, below, strict=False):
        node = _find(level.parent * len(vocabulary) + level.token, node * len(vocabulary) + column)
    if (node < 0).any():
        orphan = int((node < 0).argmax())
        history = " ".join(vocabulary[token] for token in tokens[orphan, :-1])
        message = f"its history {history!r} is not among the {len(below)}-grams, which an ARPA file must have"
        raise lines.error(message, section.numbers[orphan])
    keys = node * len(vocabulary) + tokens[:, -1]
    order = np.argsort(keys, kind="stable")
    if (doubles := np.diff(keys[order]) == 0).any():
        double = order[1:][doubles].min()
        ngram = " ".join(vocabulary[token] for token in tokens[double])
        raise lines.error(f"{ngram!r} stands here a second time; keep one of the two", section.numbers[double])
    log_prob, backoff = (np.array(column)[order] * _LN10 for column in (section.log_probs, section.backoffs))
    return Level(node[order], tokens[order, -1], log_prob, backoff)


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index of each wanted key in sorted `keys`, or -1."""
    place = np.searchsorted(keys, wanted)
    return np.where(np.append(keys, np.iinfo(np.int64).min)[place] == wanted, place, -1)


def _expect(lines: _Lines, line: bytes, wanted: str) -> None:
    if line != wanted.encode():
        raise lines.error(f"{wanted} must stand here, not {_shown(line)}")


def _shown(line: bytes) -> str:
    return repr(line[:60].decode(errors="replace"))
