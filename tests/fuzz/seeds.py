"""Inputs to damage, of each kind, and the function of `asr` that reads each of them."""

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import annotations as texts
import numpy as np
from mutate import damaged_export, damaged_model, damaged_text

from asr.config import Config
from asr.corpus.manifest import read_manifest
from asr.corpus.readers import READERS
from asr.model_file import read_metadata, task_of, with_description
from asr.scoring.readers import read_entries
from asr.text import Normalizer, Units, read_units

RATE = 8000  # Hz
NOISE = (np.random.default_rng(0).uniform(-0.1, 0.1, RATE // 5) * np.linspace(0, 1, RATE // 5)).astype(np.float32)
SETTINGS = {
    "data": {"train": "t.jsonl", "validation": "v.jsonl"},
    "features": {"sample_rate": RATE, "bins": 8},
    "model": {"hidden": 4, "layers": 1, "channels": 2},
}
UNITS = Units("ab é")
TEXTS = ["ab a", "a é", "b ab", "é", "ba a é"]
NETWORK = {"cell": "gru", "hidden": 3, "layers": 2}

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file:///a.wav" MIME_TYPE="audio/x-wav"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="900"/>
</TIME_ORDER><TIER TIER_ID="tx" PARTICIPANT="anna" LINGUISTIC_TYPE_REF="t"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>ab</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="ft" PARENT_REF="tx" LINGUISTIC_TYPE_REF="t"><ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1"><ANNOTATION_VALUE>é</ANNOTATION_VALUE></REF_ANNOTATION>
</ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "tx"
        xmin = 0
        xmax = 2.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "ab ""x"
"""
CUT = (
    '{"id": "c", "start": 0, "duration": 1, "type": "MonoCut", "supervisions": [{"id": "s", "start": 0, '
    '"duration": 1, "text": "ab"}], "recording": {"id": "r", "sources": [{"type": "file", "channels": [0], '
    '"source": "a.wav"}]}}\n'
)
CONFIG = """data:
  train: [a.jsonl, b.jsonl]
  validation: &v v.jsonl
model: {hidden: 64, layers: 2, cell: gru, dropout: 0.1}
augment:
  noise: noise
  noise_snr_db: [10, 40]
  rooms: simulated
  channels: [telephone, mp3]
  share: 0.4
training: {epochs: 3, learning_rate: 2e-3, seed: 1}
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input: seeds, the name of the file that is written, and the function that reads the file."""

    seeds: Callable[[], list[bytes]]
    name: str
    read: Callable[[Path], object]
    damage: Callable[[bytes, random.Random], bytes] = damaged_text


def _read_model(path: Path) -> None:
    """Load a model file as each command would, and transcribe with the model."""
    from asr.classifier import Classifier
    from asr.cli.models import info
    from asr.lm.recurrent import load_recurrent
    from asr.recognition.recognizer import Recognizer

    info(path)
    task = task_of(read_metadata(path))
    if task == "language model":
        lm = load_recurrent(path, conditional=True)
        vector = np.zeros(lm.condition_size, np.float32) if lm.condition_size else None
        lm.generate("", length=3, vector=vector)
        return
    if task == "classification":
        Classifier.from_file(path, "cpu").classify([NOISE])
        return
    model = Recognizer.from_file(path, "cpu")
    repr(model)
    model.transcribe(NOISE, model.sample_rate)


def _share(path: Path) -> None:
    """Write the card of a model file, and another description into it."""
    from asr.sharing.card import write_card
    from asr.sharing.contents import SharedModel
    from asr.sharing.statement import Statement

    if task_of(read_metadata(path)) == "language model":
        return
    model = SharedModel(path)
    card = path.with_name("card.md")
    card.unlink(missing_ok=True)
    write_card(card, model, Statement())
    model.config_yaml()
    with_description(path, model.metadata)


def _read_card(path: Path) -> None:
    """Read the statements of a card."""
    from asr.sharing.card import described_signature, require_own, stated_before

    stated_before(path)
    described_signature(path.read_bytes().decode(errors="replace"))
    require_own(path)


def _read_export(path: Path) -> None:
    """Load an exported file as each command would, and compute recordings with it: whole, and as a stream."""
    import asr
    from asr.cli.models import info

    info(path)
    model = asr.load(path)
    repr(model)
    if isinstance(model, asr.ExportedClassifier):
        model.classify([NOISE, NOISE[:100]])
        return
    model.transcribe(NOISE, model.sample_rate)
    if model.config.features.level == "running":
        stream = model.stream()
        stream.feed(NOISE[:500])
        stream.finish()


def _read_arpa(path: Path) -> None:
    from asr.decoding.fusion import build_fusion
    from asr.lm.arpa import read_arpa

    lm = read_arpa(path)
    lm.score(["ab", "x"])
    build_fusion(UNITS, **{lm.units: lm})


def _read_hotwords(path: Path) -> None:
    from asr.decoding.hotwords import build_hotwords, read_hotwords

    build_hotwords(read_hotwords(path, UNITS, Normalizer()), UNITS)


def _read_phrases(path: Path) -> None:
    from asr.decoding.phrases import Phrases, read_phrases

    Phrases(read_phrases(path, UNITS, Normalizer()), UNITS).decode_n_best([np.full((5, len(UNITS)), -1.6)], 3)


def _read_corpus(path: Path, format: str, **options: str) -> None:
    for reader in READERS.values():
        reader.recognises(path)
    READERS[format].read(path, **options)


@cache
def _models() -> list[bytes]:
    """Return one small model file of each shape that the program can write."""
    import torch

    from asr.classifier import Classifier
    from asr.decoding.beam import Pruning
    from asr.decoding.confidence import Calibration
    from asr.decoding.decoder import Decoder
    from asr.decoding.fusion import Weights
    from asr.decoding.phrases import Rejection
    from asr.decoding.rescoring import Rescorer
    from asr.lm.base import Given
    from asr.lm.estimate import estimate
    from asr.lm.recurrent import RecurrentLM
    from asr.recognition.recognizer import Recognizer
    from asr.recognition.trained_lengths import TrainedLengths

    torch.manual_seed(0)
    folder = Path(tempfile.mkdtemp())
    words = estimate(TEXTS, order=3).model
    characters = estimate(TEXTS, order=3, units="characters").model
    vocabulary = characters.vocabulary
    recurrent = RecurrentLM(vocabulary, "characters", Normalizer(), NETWORK)
    recurrent.save(folder / "lm")
    given = RecurrentLM(
        vocabulary, "characters", Normalizer(), {**NETWORK, "condition_size": 2}, given=Given("field", ("x", "y"))
    )
    given.save(folder / "given")
    plain = Recognizer(Config.model_validate(SETTINGS), UNITS, {"training_hours": 1.5})
    plain.save(folder / "plain")
    weights = Weights(0.5, 0.2, 1.0, 0.1, 0.3, 0.1)
    plain.decoder = Decoder(UNITS, words, characters, weights=weights, pruning=Pruning(4), summary={"tuned": "x"})
    plain.save(folder / "ngrams")
    plain.decoder = plain.decoder.fusing(recurrent)
    plain.decoder.rescorer = Rescorer(recurrent, UNITS, 0.5, 0.1, {"tuned": "x"})
    plain.confidence = Calibration(slope=1, intercept=0, words=5, right=4, error=0.1, error_before=0.2)
    plain.rejection = Rejection()
    plain.trained_lengths = TrainedLengths(longest=12, pause=0.4)
    plain.save(folder / "all")
    joint = {**SETTINGS, "model": {**SETTINGS["model"], "decoder": "joint", "cell": "lstm"}}
    Recognizer(Config.model_validate(joint), UNITS).save(folder / "joint")
    classes = {
        **SETTINGS,
        "task": "classification",
        "features": {**SETTINGS["features"], "kind": "mfcc", "coefficients": 8},
    }
    Classifier(Config.model_validate(classes), ["x", "y"]).save(folder / "classes")
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@cache
def _exports() -> list[bytes]:
    """Return one small exported file of each shape that the program can write, with 8-bit weights too."""
    from asr.classifier import Classifier
    from asr.exporting.onnx import to_onnx
    from asr.exporting.quantize import quantize
    from asr.recognition.recognizer import Recognizer

    path = Path(tempfile.mkdtemp()) / "model.safetensors"
    contents = []
    for content in _models():
        path.write_bytes(content)
        task = task_of(metadata := read_metadata(path))
        if task == "classification":
            contents.append(to_onnx(Classifier.from_file(path, "cpu")))
        elif task == "recognition" and metadata["config"]["model"]["decoder"] == "ctc":
            contents.append(to_onnx(Recognizer.from_file(path, "cpu")))
    streaming = {
        **SETTINGS,
        "features": {**SETTINGS["features"], "level": "running"},
        "model": {**SETTINGS["model"], "bidirectional": False},
    }
    contents.append(to_onnx(Recognizer(Config.model_validate(streaming), UNITS)))
    return [*contents, quantize(contents[-1])]


def _arpa() -> list[bytes]:
    from asr.lm.arpa import write_arpa
    from asr.lm.estimate import estimate

    path = Path(tempfile.mkdtemp()) / "lm.arpa"
    contents = []
    for units in ("words", "characters"):
        write_arpa(path, estimate(TEXTS, order=3, units=units).model)  # type: ignore[arg-type]
        contents.append(path.read_bytes())
    return contents


def _seeds(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


def _cards() -> list[bytes]:
    """Return the card of a model with statements, as `asr card` writes it."""
    from asr.sharing.card import write_card
    from asr.sharing.contents import SharedModel
    from asr.sharing.statement import state

    folder = Path(tempfile.mkdtemp())
    (folder / "m.safetensors").write_bytes(_models()[0])
    stated = state(title="A: b", languages=("fr", "pt-BR"), licence="MIT", authors=("Doe, Jane",), data="x # y")
    write_card(folder / "README.md", SharedModel(folder / "m.safetensors"), stated)
    return [(folder / "README.md").read_bytes()]


TABLE = 'audio,text,speaker,start,end,split\na.wav,"ab, ""x""",anna,0.5,1,train\n'
MANIFEST = '{"audio_filepath": "a.wav", "text": "ab", "speaker": null, "offset": 0.5, "duration": 1, "x": [1e5, {}]}\n'
KINDS: dict[str, Kind] = {
    "model": Kind(_models, "m.safetensors", _read_model, damaged_model),
    "export": Kind(_exports, "m.onnx", _read_export, damaged_export),
    "shared-model": Kind(_models, "m.safetensors", _share, damaged_model),
    "shared-export": Kind(_exports, "m.onnx", _share, damaged_export),
    "card": Kind(_cards, "README.md", _read_card),
    "arpa": Kind(_arpa, "lm.arpa", _read_arpa),
    "hotwords": Kind(_seeds("ab\t3\na é\n\nb\t0.5\n"), "hotwords.txt", _read_hotwords),
    "phrases": Kind(_seeds("{x} a\n{x} = a | b {y}\n{y} = é | ab\nb ab\n"), "phrases.txt", _read_phrases),
    "config": Kind(_seeds(CONFIG), "config.yaml", Config.load),
    "units": Kind(_seeds("a\nb\nch\n"), "units.txt", read_units),
    "jsonl": Kind(_seeds(MANIFEST + MANIFEST.replace("0.5", "2")), "x.jsonl", read_manifest),
    "csv": Kind(_seeds("audio_filepath,text,offset\na.wav,ab,0.5\n"), "x.csv", read_manifest),
    "tsv": Kind(_seeds("audio_filepath\ttext\na.wav\tab\n"), "x.tsv", read_manifest),
    "ctm": Kind(_seeds("a 1 0.5 0.2 ab 0.9\na 1 0.7 0.2 b\n"), "x.ctm", partial(read_entries, hypotheses=True)),
    "stm": Kind(_seeds(";; c\na 1 anna 0 1.5 <o> ab\n"), "x.stm", partial(read_entries, hypotheses=False)),
    "text": Kind(_seeds("ab a\nb\n", "a-1 ab\na-2 b\n"), "x.txt", partial(read_entries, hypotheses=False)),
    "table": Kind(_seeds(TABLE), "x.csv", partial(_read_corpus, format="table")),
    "json-list": Kind(_seeds(f"[{MANIFEST}]"), "x.json", partial(_read_corpus, format="json-list")),
    "lhotse": Kind(_seeds(CUT), "cuts.jsonl", partial(_read_corpus, format="lhotse")),
    "eaf": Kind(_seeds(EAF), "x.eaf", partial(_read_corpus, format="eaf", tier="tx")),
    "textgrid": Kind(_seeds(TEXTGRID), "x.TextGrid", partial(_read_corpus, format="textgrid")),
    "subtitles": Kind(_seeds(texts.SRT, texts.VTT), "a.srt", partial(_read_corpus, format="subtitles")),
    "labels": Kind(_seeds(texts.LABELS), "a.txt", partial(_read_corpus, format="labels")),
    "elan-text": Kind(
        _seeds(texts.ELAN, texts.ELAN_HEADER), "a.txt", partial(_read_corpus, format="elan-text", tier="*")
    ),
    "stm-corpus": Kind(_seeds(texts.STM), "x.stm", partial(_read_corpus, format="stm")),
    "trs": Kind(_seeds(texts.TRS), "x.trs", partial(_read_corpus, format="trs")),
    "flextext": Kind(_seeds(texts.FLEXTEXT), "x.flextext", partial(_read_corpus, format="flextext", tier="*")),
    "exb": Kind(_seeds(texts.EXB), "x.exb", partial(_read_corpus, format="exb")),
    "chat": Kind(_seeds(texts.CHAT), "x.cha", partial(_read_corpus, format="chat")),
    "id-list": Kind(
        _seeds(texts.LIST, texts.LIST_OF_FOUR, texts.FESTVOX), "list.txt", partial(_read_corpus, format="id-list")
    ),
    "fairseq": Kind(_seeds(texts.FAIRSEQ), "x.tsv", partial(_read_corpus, format="fairseq")),
    "supervisions": Kind(_seeds(texts.SUPERVISION), "x.jsonl", partial(_read_corpus, format="lhotse")),
}
