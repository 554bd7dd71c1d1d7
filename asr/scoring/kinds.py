"""The kinds of files that hold texts to score, recognised by suffix or content; what is not understood is refused.

A structured file that is read as plain text gives a number, and the number is wrong. So a file whose content looks like
subtitles, labels, XML, a table or a report is an error that names what the file looks like.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from asr.corpus.manifest import SUFFIXES, parse_json
from asr.errors import ManifestError
from asr.files import decode_text, read_bytes

Kind = Literal["manifest", "json", "plain", "kaldi", "trn", "ctm", "stm"]
KINDS: dict[Kind, str] = {
    "manifest": "a manifest",
    "json": "a manifest in JSON",
    "plain": "plain text, whose lines have no ids",
    "kaldi": "Kaldi text, with an id before each text",
    "trn": "a trn, with an id in parentheses after each text",
    "ctm": "a CTM",
    "stm": "an STM",
}
_CURE = "give plain text, Kaldi text (`id words`), trn (`words (id)`), CTM, STM or a manifest; see docs/score.md"
_BY_SUFFIX: dict[str, Kind] = {
    **dict.fromkeys(SUFFIXES, "manifest"),
    ".json": "json",
    ".ctm": "ctm",
    ".stm": "stm",
    ".trn": "trn",
}
_REFUSED_SUFFIXES = {
    **dict.fromkeys((".srt", ".vtt", ".sbv", ".ass", ".ssa", ".ttml", ".lrc", ".sub"), "subtitles"),
    **dict.fromkeys((".xml", ".html", ".htm", ".sgml", ".sgm", ".trs", ".exb", ".flextext"), "XML"),
    **dict.fromkeys((".yaml", ".yml"), "YAML"),
    ".textgrid": "a Praat TextGrid",
    ".eaf": "an ELAN file",
    ".cha": "a CHAT transcript",
    ".rttm": "RTTM",
    ".mlf": "an HTK label file",
}
_CLOCK = r"(?:\d+:)?\d+:\d\d(?:[.,]\d+)?"
_LABELS = r"ref(?:erence)?s?|hyp(?:othes[ie]s)?|target|pred(?:iction|icted)?|truth|ground[ _]truth|gt|wer|cer"
_REFUSED_CONTENT = tuple(
    (what, re.compile(pattern, re.MULTILINE))
    for what, pattern in (
        ("a binary file", r"\0"),
        ("subtitles", rf"\A\s*WEBVTT|^\s*{_CLOCK}\s*(?:-->|,\s*\d+:\d\d)|-->\s*{_CLOCK}|\A\s*\[Script Info\]"),
        ("lyrics or a log with times", rf"^\s*[\[<({{]\s*{_CLOCK}"),
        ("a Praat TextGrid", r'\A\s*(?:File type = )?"?(?:ooTextFile|Praat chronological)'),
        ("XML or HTML", r"\A\s*<(?:\?xml|![A-Za-z-]|[A-Za-z][^<>]*>(?s:.*)</[A-Za-z][^<>]*>\s*\Z)"),
        ("lines labelled `ref:` and `hyp:`", rf"^[^\S\n]*[*\"'\[(]*(?i:{_LABELS})[\])\"']*[^\S\n]*[:=|]"),
        (
            "a report of alignments",
            r"^\s*(?:REF|HYP)(?:\s.*)?\n\s*(?:REF|HYP)\s|^Scores: \(|^\S+ (?:ref|hyp) .*\n\S+ (?:ref|hyp) ",
        ),
        ("settings or program text", r"\A\s*(?:[\[{(]\s*'|\[[\w .-]+\]\s*\n\s*\w+\s*=)"),
        ("a CHAT transcript", r"\A@(?:UTF8|Begin)\b"),
        ("RTTM", r"^(?:SPEAKER|SPKR-INFO)\s+\S+\s+\d"),
        ("an HTK label file", r"\A#!MLF!#"),
        ("a formatted document", r"\A(?:\{\\rtf|%PDF)"),
        (
            "a table",
            r"\A\W*(?:id|path|file(?:name)?|audio\w*|wav\w*|utt\w*|sentence|text|transcript\w*|start)\W*[,;\t|].*\n",
        ),
    )
)
_REFUSED_LINES = tuple(  # of which every line is structured
    (what, least, re.compile(pattern))
    for what, least, pattern in (
        ("lines that begin with a time", 1, rf"{_CLOCK}\s"),
        ("labels with times", 1, r"\d+\.\d+\s+\d+\.\d+(?:\s|$)|\d+\s+\d{4,}\s+\S"),
        ("lines with labels such as `name:`", 2, r"[*-]?\s*[\w. -]{1,30}:(?:\s|$)"),
        ("Toolbox or Shoebox text", 1, r"\\\w+"),
        ("a table", 1, r"[^\t]*\t[^\t]*\t"),
        ("a table", 1, r"[^|]*\S\|\S|\s*\|.*\|\s*$"),
        ("a table", 1, r"[^,;]+\.(?i:wav|flac|mp3|ogg|opus|m4a)[\"']?\s*[,;]"),
    )
)
_TRN = re.compile(r"(?:^|.*\s)\(([^\s()]+)\)\s*")
_ID_LIKE = re.compile(r".*[\d_-]")
_SECONDS = re.compile(r"\d+\.\d*")


@dataclass(frozen=True)
class Source:
    """A file of texts, read once, so that pipes work; `-` is standard input."""

    path: Path
    content: str

    @classmethod
    def read(cls, path: Path) -> "Source":
        """Read the file. Raises ManifestError if it does not exist or is not UTF-8."""
        if str(path) == "-":
            return cls(Path("standard input"), decode_text(sys.stdin.buffer.read(), "standard input", ManifestError))
        if not path.exists():
            raise ManifestError(f"{path}: no such file")
        return cls(path, decode_text(read_bytes(path, ManifestError), str(path), ManifestError))

    @cached_property
    def lines(self) -> list[str]:
        """The lines, whatever their ends, without an empty last line."""
        return "\n".join(re.split(r"\r\n|\n|\r", self.content)).removesuffix("\n").split("\n")

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Yield each line that is not empty, with its number."""
        return ((number, line) for number, line in enumerate(self.lines, start=1) if line.strip())

    @cached_property
    def kind(self) -> Kind:
        """The kind of the file. Raises ManifestError for a structured file of another kind.

        The suffix decides where it names a kind. Otherwise the content decides: JSON objects; CTM and STM with decimal
        times; an id in parentheses at the end of each line; an id before each text. An id has a digit and another
        character, or a tab behind it, and ids differ. The name or suffix `text` stands for Kaldi text.
        """
        suffix = self.path.suffix.lower()
        if suffix in _BY_SUFFIX:
            return _BY_SUFFIX[suffix]
        if suffix in _REFUSED_SUFFIXES:
            raise ManifestError(f"{self.path}: is {_REFUSED_SUFFIXES[suffix]}, which cannot be scored; {_CURE}")
        if self._is_json():
            return "json"
        lines = [line for _, line in self.numbered()]
        if (kind := _kind_by_times(lines)) is not None:
            return kind
        self._refuse_structure(lines)
        if self._is_trn(lines):
            return "trn"
        if "text" in (self.path.name.lower(), suffix[1:]):
            return "kaldi"
        return "kaldi" if self._has_ids(lines) else "plain"

    @property
    def kind_by_name(self) -> bool:
        """Return True if the name of the file tells its kind."""
        return self.path.suffix.lower() in _BY_SUFFIX or "text" in (
            self.path.name.lower(),
            self.path.suffix.lower()[1:],
        )

    def _is_json(self) -> bool:
        if re.match(r"\s*(?:\{\s*[\"}\n]|\[\s*[\[{\"\]\n])", self.content):
            return True
        try:
            return self.content.lstrip().startswith("[") and isinstance(parse_json(self.content), list)
        except ValueError:
            return False

    def _refuse_structure(self, lines: Sequence[str]) -> None:
        for what, pattern in _REFUSED_CONTENT:
            if found := pattern.search(self.content):
                line = len(re.findall(r"\r\n|\n|\r", self.content[: found.end()].rstrip())) + 1
                raise ManifestError(f"{self.path}:{line}: looks like {what}, which cannot be scored; {_CURE}")
        for what, least, pattern in _REFUSED_LINES:
            if len(lines) >= least and all(map(pattern.match, lines)):
                raise ManifestError(f"{self.path}: looks like {what}, which cannot be scored; {_CURE}")

    def _is_trn(self, lines: Sequence[str]) -> bool:
        lines = [line for line in lines if not line.startswith(";;")]
        ids = [match[1] for match in map(_TRN.fullmatch, lines) if match]
        sure = [identifier for identifier in ids if _ID_LIKE.match(identifier)]
        if len(ids) == len(lines) > 0:
            return len(sure) == len(ids) or len(set(ids)) == len(ids)
        if 2 * len(sure) > len(lines):
            number = next(n for n, line in self.numbered() if not line.startswith(";;") and not _TRN.fullmatch(line))
            raise ManifestError(
                f"{self.path}:{number}: has no id in parentheses at its end, as most lines have; add it (trn)"
            )
        return False

    def _has_ids(self, lines: Sequence[str]) -> bool:
        if not lines:
            return False
        tabbed = [line.split("\t")[0].strip() for line in lines if line.count("\t") == 1]
        if len(tabbed) == len(lines) == len(set(tabbed)) and all(tabbed):
            return True
        first = first_words(lines)
        return first is not None and all(re.search(r"\d", word) and re.search(r"\D", word) for word in first)


def first_words(lines: Sequence[str]) -> list[str] | None:
    """Return the first word of each line that is not empty; None if there is none, or one stands there twice."""
    words = [line.split()[0] for line in lines if line.strip()]
    return words if len(set(words)) == len(words) > 0 else None


def _kind_by_times(lines: Sequence[str]) -> Kind | None:
    """Return `ctm` or `stm` if every line has the fields of one; times must have a point, unlike spoken digits."""
    rows = [line.split() for line in lines if not line.startswith(";;")]
    if any(row[0] in ("SPEAKER", "SPKR-INFO") for row in rows):  # lines of RTTM
        return None
    if rows and all(len(row) in (5, 6) and all(map(_SECONDS.fullmatch, row[2:4])) for row in rows):
        return "ctm"
    if rows and all(len(row) >= 5 and all(map(_SECONDS.fullmatch, row[3:5])) for row in rows):
        return "stm"
    return None
