import gzip
from pathlib import Path

import pytest

from asr.corpus.sentences import read_sentences
from asr.errors import ManifestError, TextError
from asr.text import Normalizer


def read(*paths: Path) -> list[str]:
    return list(read_sentences(paths, Normalizer(lower=True)))


def test_texts_and_manifests_are_read_in_turn(tmp_path: Path) -> None:
    text, packed, manifest = tmp_path / "a.txt", tmp_path / "b.txt.gz", tmp_path / "c.jsonl"
    text.write_bytes("\ufeffE\u0301in  Haus\u2028hier\r\n\n \nzwei".encode())
    packed.write_bytes(gzip.compress(b"drei\n"))
    manifest.write_text('{"audio_filepath": "x.wav", "text": "Vier"}\n{"audio_filepath": "y.wav"}\n')
    assert read(manifest, text, packed) == ["vier", "éin haus hier", "zwei", "drei"]


def test_sentences_are_read_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"eins\nzwei\n\xff\n")
    sentences = read_sentences([path], Normalizer())
    assert [next(sentences), next(sentences)] == ["eins", "zwei"]
    with pytest.raises(TextError, match=r"a\.txt:3: is not UTF-8 \(byte 0\)"):
        next(sentences)


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="no such text"):
        read(tmp_path / "nothing.txt")
    with pytest.raises(ManifestError, match="no such manifest"):
        read(tmp_path / "nothing.csv")
    packed = tmp_path / "a.gz"
    for content in (b"plain", gzip.compress(b"eins\n" * 99)[:-9]):
        packed.write_bytes(content)
        with pytest.raises(TextError, match=r"a\.gz:\d+: the compressed file is damaged"):
            read(packed)
