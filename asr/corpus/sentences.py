"""Sentences for language models: from plain text, one a line, and from the transcripts of manifests."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr.corpus.manifest import SUFFIXES, read_manifest
from asr.errors import TextError
from asr.text import Normalizer


def read_sentences(paths: Iterable[Path], normalizer: Normalizer, text_field: str = "text") -> Iterator[str]:
    """Normalised sentences of manifests and of texts (`.gz` too), read as they are asked for; blank ones left out.

    `text_field` is the field of a manifest's lines to read. Raises TextError naming file and line if a text is not
    UTF-8, ManifestError as `read_manifest` does.
    """
    for path in paths:
        is_manifest = path.suffix in SUFFIXES
        lines = (u.text or "" for u in read_manifest(path, text_field=text_field)) if is_manifest else _lines(path)
        yield from filter(None, map(normalizer, lines))


def read_given(paths: Iterable[Path], normalizer: Normalizer, field: str) -> tuple[list[str], list[str]]:
    """The sentences of manifests, as `read_sentences` gives them, and the value of a field of the line of each.

    Raises TextError for a text that is no manifest, ManifestError that names the lines without that field.
    """
    sentences, values = [], []
    for path in paths:
        if path.suffix not in SUFFIXES:
            raise TextError(f"{path}: is no manifest ({' '.join(SUFFIXES)}), so its sentences have no {field}")
        lines = read_manifest(path), read_manifest(path, require_text=True, text_field=field)
        for utterance, labelled in zip(*lines, strict=True):
            if sentence := normalizer(utterance.text or ""):
                sentences.append(sentence)
                values.append(labelled.text or "")
    return sentences, values


def _lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise TextError(f"{path}: no such text")
    number = 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for number, line in enumerate(file, start=1):  # noqa: B007
                yield line.decode()
        except UnicodeDecodeError as error:
            raise TextError(f"{path}:{number}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise TextError(f"{path}:{number + 1}: the compressed file is damaged; copy it again") from None
