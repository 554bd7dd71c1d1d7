"""Sentences for language models, from text files with one sentence per line, and from manifests."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr.corpus.manifest import SUFFIXES, read_manifest
from asr.errors import TextError
from asr.text import Normalizer


def read_sentences(paths: Iterable[Path], normalizer: Normalizer, text_field: str = "text") -> Iterator[str]:
    """Yield the normalised sentences of manifests and text files (also `.gz`), without empty ones.

    Text files are read line by line, as the caller asks for sentences. `text_field` is the field of a manifest with the
    sentence. Raises TextError that names file and line if a text file is not UTF-8, and ManifestError as
    `read_manifest` does.
    """
    for path in paths:
        is_manifest = path.suffix in SUFFIXES
        lines = (u.text or "" for u in read_manifest(path, text_field=text_field)) if is_manifest else _lines(path)
        yield from filter(None, map(normalizer, lines))


def read_given(paths: Iterable[Path], normalizer: Normalizer, field: str) -> tuple[list[str], list[str]]:
    """Return the normalised sentences of manifests, and for each the value of `field` in its line.

    Raises TextError for a file that is not a manifest, and ManifestError that names the lines without the field.
    """
    sentences, values = [], []
    for path in paths:
        if path.suffix not in SUFFIXES:
            raise TextError(
                f"{path}: is not a manifest ({' '.join(SUFFIXES)}), so its sentences have no {field}; give a manifest"
            )
        lines = read_manifest(path), read_manifest(path, require_text=True, text_field=field)
        for utterance, labelled in zip(*lines, strict=True):
            if sentence := normalizer(utterance.text or ""):
                sentences.append(sentence)
                values.append(labelled.text or "")
    return sentences, values


def _lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise TextError(f"{path}: no such file; correct the path")
    number = 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for number, line in enumerate(file, start=1):  # noqa: B007
                yield line.decode()
        except UnicodeDecodeError as error:
            raise TextError(f"{path}:{number}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise TextError(f"{path}:{number + 1}: the compressed file is damaged; copy it again") from None
