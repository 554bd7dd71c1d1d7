"""Sentences for language models: from texts, compressed texts and manifests, with faults by file and line."""

import gzip
from pathlib import Path

import pytest

from asr.corpus.sentences import read_given, read_sentences
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
    with pytest.raises(TextError, match="no such file"):
        read(tmp_path / "nothing.txt")
    with pytest.raises(ManifestError, match="no such manifest"):
        read(tmp_path / "nothing.csv")
    packed = tmp_path / "a.gz"
    for content in (b"plain", gzip.compress(b"eins\n" * 99)[:-9]):
        packed.write_bytes(content)
        with pytest.raises(TextError, match=r"a\.gz:\d+: the compressed file is damaged"):
            read(packed)


def test_sentences_with_a_field_of_their_lines(tmp_path: Path) -> None:
    manifest, table, text = tmp_path / "a.jsonl", tmp_path / "b.csv", tmp_path / "c.txt"
    rows = ['"text": "EINS", "dialect": 3', '"text": " ", "dialect": "x"', '"text": "zwei", "dialect": "Olléé"']
    manifest.write_text("".join(f'{{"audio_filepath": "{i}.wav", {row}}}\n' for i, row in enumerate(rows)))
    table.write_text("audio_filepath,text,dialect\nx.wav,drei,y\n")
    text.write_text("vier\n")
    paths = [manifest, table]
    assert read_given(paths, Normalizer(lower=True), "dialect") == (["eins", "zwei", "drei"], ["3", "Olléé", "y"])
    assert read_given([table], Normalizer(), "text") == (["drei"], ["drei"])
    with pytest.raises(ManifestError, match=r"a\.jsonl:1: 0\.wav has no speaker.*\n.*a\.jsonl:2: .*\n.*a\.jsonl:3: "):
        read_given(paths, Normalizer(), "speaker")
    with pytest.raises(TextError, match=r"c\.txt: is not a manifest .*so its sentences have no dialect"):
        read_given([text], Normalizer(), "dialect")
