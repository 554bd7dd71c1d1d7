"""Corpora in every layout that `asr prepare` reads, each with the rows that must be read."""

import gzip
import json
import wave
from collections.abc import Callable
from pathlib import Path

import pympi

from asr.corpus.prepare import recognise
from asr.corpus.readers import READERS
from asr.corpus.readers.reading import reading
from asr.utterance import Utterance

Row = tuple[str, str, str | None, float, float | None, str | None]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write(path: Path, content: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))


def row(utterance: Utterance, source: Path) -> Row:
    u = utterance
    return u.id, u.audio.absolute().relative_to(source.absolute()).as_posix(), u.text, u.offset, u.duration, u.speaker


def read(source: Path, **options: str) -> tuple[str, dict[str, list[Row]]]:
    """Return the format that is recognised, and all rows by split."""
    place, formats = recognise(source)
    splits = READERS[formats[0]].read(place, **options)
    return formats[0], {name: [row(u, source) for u in utterances] for name, utterances in splits.items()}


def sound(path: Path, seconds: float, channels: int = 1, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(2 * channels * int(rate * seconds)))


def rows(source: Path, **options: str) -> list[tuple[str | None, float, float | None, str | None]]:
    """Return text, offset, duration and speaker of all utterances."""
    _, splits = read(source, **options)
    return [(text, start, length, speaker) for part in splits.values() for _, _, text, start, length, speaker in part]


def notes(source: Path, **options: str) -> list[str]:
    with reading() as said:
        read(source, **options)
    return [*said.notes, *said.faults]


def whole(name: str, audio: str, text: str | None, speaker: str | None = None) -> Row:
    return name, audio, text, 0.0, None, speaker


# Each function below writes one layout into a folder, and returns its format and the rows that must be read.
Layout = tuple[str, dict[str, list[Row]]]


def text_files(folder: Path) -> Layout:
    touch(folder / "anna" / "a.b.wav", folder / "ben" / "1.MP3", folder / "ben" / "2.mp3")
    write(folder / "anna" / "a.b.txt", "\ufeffein \r\n Satz\r\n")
    write(folder / "ben" / "1.txt", "zwei", "utf-16")
    write(folder / "ben" / "3.txt", "drei")
    write(folder / "README.txt", "not a transcript")
    rows = [
        whole("anna/a.b", "anna/a.b.wav", "ein Satz"),
        whole("ben/1", "ben/1.MP3", "zwei"),
        whole("ben/2", "ben/2.mp3", None),
        whole("ben/3", "ben/3.wav", "drei"),
    ]
    return "folder", {"": rows}


def text_files_elsewhere(folder: Path) -> Layout:
    touch(folder / "train" / "wav" / "x.wav", folder / "dev" / "wav" / "y.wav")
    write(folder / "train" / "txt" / "x.lab", "eins")
    write(folder / "dev" / "txt" / "y.lab", "zwei")
    return "folder", {
        "validation": [whole("dev/wav/y", "dev/wav/y.wav", "zwei")],
        "train": [whole("train/wav/x", "train/wav/x.wav", "eins")],
    }


def comma_table(folder: Path) -> Layout:
    touch(folder / "audio" / "a.wav", folder / "b.wav")
    write(
        folder / "all.csv",
        '\ufeffPath,Speaker ID,Sentence,start,end,note\r\na.wav,anna,"Ja, ""ja""\r\nja",1.5,2.25,x\r\n'
        "/home/x/b.wav,,nein,,,\r\n\r\n",
    )
    return "table", {
        "": [
            ("audio/a@1.5", "audio/a.wav", 'Ja, "ja"\r\nja', 1.5, 0.75, "anna"),
            whole("b", "b.wav", "nein"),
        ]
    }


def semicolon_table_in_utf16(folder: Path) -> Layout:
    touch(folder / "a.wav")
    write(folder / "x.csv", 'file;"transcript, corrected";transcript;id\na.wav;x;ja, ja;u1\n', "utf-16")
    return "table", {"": [whole("u1", "a.wav", "ja, ja")]}


def tab_tables_of_splits(folder: Path) -> Layout:
    touch(folder / "a.wav", folder / "b.wav", folder / "c.wav")
    write(folder / "my_train.tsv", 'wav_filename\twav_filesize\ttranscript\na.wav\t4\t"ja" sagt er\nb.wav\t4\tdann "\n')
    write(folder / "my_dev.tsv", "wav_filename\twav_filesize\ttranscript\nc.wav\t4\tnein")
    return "table", {
        "validation": [whole("c", "c.wav", "nein")],
        "train": [whole("a", "a.wav", '"ja" sagt er'), whole("b", "b.wav", 'dann "')],
    }


def table_with_split_column(folder: Path) -> Layout:
    touch(folder / "a.wav", folder / "b.wav")
    write(folder / "x.csv", "audio,text,split\na,eins,TRAIN\nb,zwei,Valid\n")
    return "table", {"train": [whole("a", "a.wav", "eins")], "validation": [whole("b", "b.wav", "zwei")]}


def ljspeech(folder: Path) -> Layout:
    touch(*(folder / "LJ" / "wavs" / f"L-{number}.flac" for number in (1, 2)))
    write(folder / "LJ" / "metadata.csv", 'L-1|"In 1900, he|"In nineteen hundred, he\nL-2|b|b\nL-3|c|c\n')
    return "ljspeech", {
        "": [
            whole("L-1", "LJ/wavs/L-1.flac", '"In nineteen hundred, he'),
            whole("L-2", "LJ/wavs/L-2.flac", "b"),
            whole("L-3", "LJ/wavs/L-3.wav", "c"),
        ]
    }


def common_voice(folder: Path) -> Layout:
    touch(*(folder / "clips" / f"cv_{number}.mp3" for number in (1, 2, 3)))
    head = "client_id\tpath\tsentence\tup_votes\n"
    write(folder / "train.tsv", f'{head}anna\tcv_1.mp3\t"Ja\t2\n')
    write(folder / "dev.tsv", f"{head}ben\tcv_2\tNein\t2\n")
    write(folder / "validated.tsv", f"{head}cleo\tcv_3\tVielleicht\t2\n")
    return "common-voice", {
        "train": [whole("cv_1", "clips/cv_1.mp3", '"Ja', "anna")],
        "validation": [whole("cv_2", "clips/cv_2.mp3", "Nein", "ben")],
    }


def common_voice_validated(folder: Path) -> Layout:
    touch(folder / "clips" / "cv_3.mp3")
    write(folder / "validated.tsv", "client_id\tpath\tsentence\ncleo\tcv_3.mp3\tVielleicht\n")
    return "common-voice", {"": [whole("cv_3", "clips/cv_3.mp3", "Vielleicht", "cleo")]}


def librispeech(folder: Path) -> Layout:
    touch(folder / "train-clean-5" / "19" / "198" / "19-198-0001.flac", folder / "dev-clean" / "7" / "8" / "7-8-0.flac")
    write(folder / "train-clean-5" / "19" / "198" / "19-198.trans.txt", "19-198-0000 ONE\n19-198-0001 TWO THREE\n")
    write(folder / "dev-clean" / "7" / "8" / "7-8.trans.txt", "")
    return "librispeech", {
        "dev-clean": [whole("7-8-0", "dev-clean/7/8/7-8-0.flac", None, "7")],
        "train-clean-5": [
            whole("19-198-0000", "train-clean-5/19/198/19-198-0000.flac", "ONE", "19"),
            whole("19-198-0001", "train-clean-5/19/198/19-198-0001.flac", "TWO THREE", "19"),
        ],
    }


def librispeech_split(folder: Path) -> Layout:
    touch(folder / "19" / "198" / "19-198-0001.flac")
    write(folder / "19" / "198" / "19-198.trans.txt", "19-198-0001 TWO THREE\n")
    return "librispeech", {"": [whole("19-198-0001", "19/198/19-198-0001.flac", "TWO THREE", "19")]}


def kaldi(folder: Path) -> Layout:
    touch(folder / "wav" / "call one.wav", folder / "wav" / "2.wav")
    for name, scp, text in (
        ("train", "rec1 ../wav/call one.wav\n", "u1 ja ja\nu2 nein\nu4 nie\n"),
        ("dev", "rec2 wav/2.wav\n", "rec2 doch\n"),
    ):
        write(folder / name / "wav.scp", scp)
        write(folder / name / "text", text)
    write(folder / "train" / "segments", "u2 rec1 2.5 -1\nu1 rec1 0.25 2.5\nu3 rec1 1 2\n")
    write(folder / "train" / "utt2spk", "u1 anna\nu2 anna\nu3 u3\n")
    return "kaldi", {
        "validation": [whole("rec2", "wav/2.wav", "doch")],
        "train": [
            ("u1", "train/../wav/call one.wav", "ja ja", 0.25, 2.25, "anna"),
            ("u2", "train/../wav/call one.wav", "nein", 2.5, None, "anna"),
            ("u3", "train/../wav/call one.wav", None, 1.0, 1.0, None),
            whole("u4", "train/u4", "nie"),
        ],
    }


def nemo(folder: Path) -> Layout:
    touch(folder / "a.wav", folder / "b.wav")
    write(folder / "train_manifest.json", '{"audio_filepath": "a.wav", "text": "ja\u2028ja", "duration": 1.5}\n')
    write(folder / "test_manifest.json", '{"audio_filepath": "/data/b.wav", "text": "nein", "offset": 2}\n')
    return "json-list", {
        "test": [("b@2", "b.wav", "nein", 2.0, None, None)],
        "train": [("a", "a.wav", "ja\u2028ja", 0.0, 1.5, None)],
    }


def plain_json_list(folder: Path) -> Layout:
    touch(folder / "a.wav")
    write(folder / "x.json", json.dumps([{"path": "a", "sentence": "ja", "client_id": 7}], indent=1))
    return "json-list", {"": [whole("a", "a.wav", "ja", "7")]}


def audiofolder(folder: Path) -> Layout:
    touch(folder / "data" / "train" / "sub" / "a.wav", folder / "data" / "test" / "a.wav")
    write(folder / "data" / "train" / "metadata.csv", "file_name,transcription\nsub/a.wav,ja\n")
    write(folder / "data" / "test" / "metadata.csv", "file_name,transcription\na.wav,nein\n")
    return "audiofolder", {
        "test": [whole("data/test/a", "data/test/a.wav", "nein")],
        "train": [whole("data/train/sub/a", "data/train/sub/a.wav", "ja")],
    }


def audiofolder_jsonl(folder: Path) -> Layout:
    touch(folder / "data" / "a.wav")
    write(folder / "metadata.jsonl", '{"file_name": "data/a.wav", "text": "ja"}\n')
    return "audiofolder", {"": [whole("data/a", "data/a.wav", "ja")]}


def lhotse(folder: Path) -> Layout:
    touch(folder / "a.wav")
    source = {"type": "file", "channels": [0], "source": "a.wav"}
    supervisions = [
        {"id": "s1", "start": 0.5, "duration": 1.0, "text": "ja", "speaker": "anna", "language": "de"},
        {"id": "s2", "start": 2.0, "duration": 0.5, "text": "nein"},
    ]
    cut = {"id": "c", "start": 10.0, "duration": 3.0, "type": "MonoCut", "supervisions": supervisions}
    with gzip.open(folder / "x_cuts_train.jsonl.gz", "wt") as file:
        file.write(json.dumps(cut | {"recording": {"id": "r", "sources": [source]}}) + "\n")
    return "lhotse", {"train": [("s1", "a.wav", "ja", 10.5, 1.0, "anna"), ("s2", "a.wav", "nein", 12.0, 0.5, None)]}


def elan(folder: Path) -> Layout:
    """Write a time-aligned tier, and a tier that refers to it, with pympi, an independent implementation."""
    touch(folder / "sound" / "rec 1.wav", folder / "rec 1.mp4")
    file = pympi.Elan.Eaf()
    file.add_linked_file("file:///C:/Users/x/rec%201.mp4", "./rec%201.mp4", mimetype="video/mp4")
    file.add_linked_file("file:///C:/Users/x/rec%201.wav", mimetype="audio/x-wav", time_origin=1000)
    file.add_linguistic_type("translation", "Symbolic_Association")
    file.add_tier("tx", part="anna")
    file.add_annotation("tx", 250, 1750, "ja & <ja>")
    file.add_annotation("tx", 2000, 3000, "  ")
    file.add_annotation("tx", 3000, 4500, "né\u0301")
    file.add_tier("ft", ling="translation", parent="tx", part="anna")
    file.add_ref_annotation("ft", "tx", 3500, "no")
    file.to_file(folder / "session.eaf")
    return "eaf", {
        "": [
            ("session@1.250", "sound/rec 1.wav", "ja & <ja>", 1.25, 1.5, "anna"),
            ("session@4.000", "sound/rec 1.wav", "né\u0301", 4.0, 1.5, "anna"),
        ]
    }


def praat(folder: Path) -> Layout:
    touch(folder / "a.wav", folder / "b.wav", folder / "c.wav")
    for name, mode, codec in (("a", "normal", "utf-8"), ("b", "short", "utf-16"), ("c", "normal", "utf-16")):
        grid = pympi.Praat.TextGrid(xmax=9.5)
        tier = grid.add_tier("words ä")
        tier.add_interval(0.00001, 1.5, f'{name} "ja"\n2 "')
        tier.add_interval(2, 9.5, " ")
        grid.add_tier("points", tier_type="TextTier").add_point(3, "x")
        grid.to_file(folder / f"{name}.TextGrid", codec, mode)
    return "textgrid", {
        "": [(f"{name}@0.000", f"{name}.wav", f'{name} "ja"\n2 "', 0.00001, 1.49999, None) for name in "abc"]
    }


LAYOUTS: dict[Callable[[Path], Layout], dict[str, str]] = {
    text_files: {},
    text_files_elsewhere: {},
    comma_table: {},
    semicolon_table_in_utf16: {},
    tab_tables_of_splits: {},
    table_with_split_column: {},
    ljspeech: {},
    common_voice: {},
    common_voice_validated: {},
    librispeech: {},
    librispeech_split: {},
    kaldi: {},
    nemo: {},
    plain_json_list: {},
    audiofolder: {},
    audiofolder_jsonl: {},
    lhotse: {},
    elan: {"tier": "tx"},
    praat: {},
}
