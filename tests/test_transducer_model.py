"""A recogniser with a transducer: trained, begun from CTC, resumed, saved, streamed, tuned, and what it refuses."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from conftest import interrupted, train_config
from oracles import random_waveforms, randomise
from processes import run_asr

import asr
from asr.batching import pad
from asr.config import Config
from asr.corpus.manifest import read_manifest
from asr.decoding.fusion import Weights
from asr.errors import AsrError, ConfigError, ModelFileError
from asr.exporting.export import export, verified
from asr.exporting.onnx import to_onnx
from asr.exporting.sherpa import to_sherpa
from asr.exporting.web import export_page
from asr.lm.estimate import estimate
from asr.model_file import TENSORS_KEY
from asr.nn.transducer import TransducerModel
from asr.recognition.align import align
from asr.recognition.recognizer import Recognizer, load
from asr.recognition.search import build_search
from asr.suspects import require_judges
from asr.text import Units
from asr.training.build import build_augment, start_from
from asr.training.train import train
from asr.transcript import text_of
from asr.tuning.ngrams import tune_ngrams
from asr.tuning.tune import tune
from asr.tuning.validation import Validation
from asr.utterance import Utterance
from asr.writers import output_paths, write

UNITS = Units("abcé ")


def small_recognizer(*, level: str = "utterance", **model: object) -> Recognizer:
    settings = {
        "data": {"train": "t.jsonl", "validation": "v.jsonl"},
        "features": {"sample_rate": 8000, "bins": 20, "level": level},
        "model": {"hidden": 8, "layers": 2, "channels": 4, "decoder": "transducer", **model},
    }
    torch.manual_seed(0)
    recognizer = Recognizer(Config.model_validate(settings), UNITS)
    randomise(recognizer.acoustic_model, 0)
    if isinstance(recognizer.acoustic_model, TransducerModel):
        randomise(recognizer.acoustic_model.transducer, 2, 1.0)
        with torch.no_grad():
            recognizer.acoustic_model.transducer.output.bias[0] += 1.0  # so that texts are not too long
    recognizer.features.fit([pad(random_waveforms(9, 4))])
    return recognizer


def streaming(**model: object) -> Recognizer:
    return small_recognizer(level="running", bidirectional=False, **model)


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3])
def test_the_same_texts_and_losses_alone_and_in_any_batch(ctc_weight: float, device: torch.device) -> None:
    recognizer = small_recognizer(ctc_weight=ctc_weight).to(device)
    waveforms = random_waveforms(3, 6)
    alone = [recognizer.recognize([waveform])[0] for waveform in waveforms]
    assert len(set(alone)) > 2
    assert recognizer.recognize(waveforms) == alone
    audio, lengths = pad(waveforms)
    padded = torch.cat([audio, torch.zeros(6, 8000)], dim=1)
    targets = [[1, 2], [3], [4, 4], [1], [2, 3, 1], [5]]
    losses = [recognizer.losses(*recognizer.frames(*batch), targets) for batch in ((audio, lengths), (padded, lengths))]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-4, rtol=1e-5)
    for row, waveform in enumerate(waveforms):
        one = recognizer.losses(*recognizer.frames(*pad([waveform])), [targets[row]])
        torch.testing.assert_close(one[0], losses[0][row], atol=1e-4, rtol=1e-5)
    assert recognizer.recognize([np.zeros(8000, np.float32), waveforms[0]]) == ["", alone[0]]


def test_a_model_file_keeps_the_answers_and_the_language_model(tmp_path: Path) -> None:
    recognizer, waveforms = small_recognizer(), random_waveforms(5, 4)
    texts = recognizer.recognize(waveforms)
    recognizer.save(tmp_path / "plain")
    loaded = load(tmp_path / "plain", "cpu")
    assert loaded.recognize(waveforms) == texts and any(texts) and "transducer" in repr(loaded)
    words = estimate(["a b", "cab é", "bé"]).model
    recognizer.decoder = recognizer.beam(words, closed=True).using(weights=Weights(lm=0.5))
    closed = recognizer.recognize(waveforms)
    recognizer.save(tmp_path / "closed")
    assert load(tmp_path / "closed", "cpu").recognize(waveforms) == closed != texts
    assert {word for text in closed for word in text.split()} <= {"a", "b", "cab", "é", "bé"}
    searched = build_search(load(tmp_path / "closed", "cpu"), language_model=False)
    assert searched is not None
    rows = [row for _, rows in recognizer.frame_rows([len(waveforms[0])], lambda _: waveforms[0]) for row in rows]
    assert recognizer.text(searched.decoder.decode_n_best(rows, 1)[0][0].units) == texts[0]


def test_a_beam_that_does_not_fit_in_memory_is_a_damaged_file(tmp_path: Path) -> None:
    recognizer = small_recognizer()
    decoder = recognizer.beam()
    recognizer.decoder = decoder.using(pruning=decoder.pruning._replace(width=100_000))
    recognizer.save(tmp_path / "wide")
    with pytest.raises(ModelFileError, match=r"wide: is damaged, .*width=100000.* is no beam that fits in memory"):
        load(tmp_path / "wide", "cpu")


def test_words_have_times_and_confidences(tone: Path, tmp_path: Path) -> None:
    recognizer, waveforms = small_recognizer(), random_waveforms(5, 4)
    for waveform in waveforms:
        transcript = recognizer.transcribe(waveform, 8000, nbest=3, hotwords=["cab"])
        assert text_of(transcript.words) == transcript.text and 1 <= len(transcript.nbest) <= 3
        ends = [0.0, *(word.end for word in transcript.words)]
        for before, word in zip(ends, transcript.words, strict=False):
            assert before <= word.start < word.end <= transcript.duration and 0 <= word.confidence <= 1
    write(recognizer.transcribe(tone), tone, {"srt": tmp_path / "out.srt"})
    assert align(recognizer, tone, "a b").transcript.duration == 1.0


def test_more_units_than_frames_have_times_too() -> None:
    recognizer = small_recognizer()
    frames, _ = recognizer.frames(*pad([random_waveforms(1, 1)[0][:500]]))
    rows = frames[0, :2].cpu().numpy()
    words = recognizer.words(rows, 10, [1, 1, 1, 5, 2, 2])
    assert [word.text for word in words] == ["aaa", "bb"]
    assert 0.25 < words[0].start <= words[0].end <= words[1].start <= words[1].end < 0.37


@pytest.mark.parametrize("size", [137, 4000])
def test_a_stream_gives_the_text_of_the_whole_recording(size: int) -> None:
    recognizer = streaming()
    samples = np.concatenate(random_waveforms(4, 2))
    expected = recognizer.recognize([samples])[0]
    stream, partials = recognizer.stream(), []
    for start in range(0, len(samples), size):
        update = stream.feed(samples[start : start + size])
        partials.append(update.partial)
    transcript = stream.finish()
    assert transcript.text == expected == partials[-1]
    assert len(set(partials)) > (2 if size < 1000 else 0)
    assert text_of(transcript.words) == expected


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_an_exported_file_answers_as_the_model(cell: str, tmp_path: Path, tone: Path) -> None:
    recognizer = streaming(cell=cell)
    recognizer.decoder = recognizer.beam(estimate(["a b", "cab é", "bé"]).model).using(weights=Weights(lm=0.3))
    found = export(recognizer, tmp_path / "model.onnx", report=lambda line: None)
    assert found.difference < 1e-3
    exported = asr.load(tmp_path / "model.onnx")
    waveforms = [*random_waveforms(5, 4), np.zeros(8000, np.float32)]
    assert exported.recognize(waveforms) == recognizer.recognize(waveforms)
    for waveform in waveforms[:2]:
        one, other = (model.transcribe(waveform, 8000, nbest=2) for model in (recognizer, exported))
        assert one.text == other.text and [a.text for a in one.nbest] == [a.text for a in other.nbest]
        assert [(w.text, w.start, w.end) for w in one.words] == [(w.text, w.start, w.end) for w in other.words]
        assert [w.confidence for w in one.words] == pytest.approx([w.confidence for w in other.words], abs=1e-3)
        stream = exported.stream(8000)
        for start in range(0, len(waveform), 1000):
            stream.feed(waveform[start : start + 1000])
        assert stream.finish().text == recognizer.recognize([waveform])[0]
    found_words = [align(model, tone, "a b").transcript.words for model in (recognizer, exported)]
    assert [(word.text, word.start) for word in found_words[0]] == [(word.text, word.start) for word in found_words[1]]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("transducer.embedding.weight", lambda array: array[:2], "embedding.weight is float32 of shape"),
        ("transducer.norms.1.bias", None, r"norms\.1\.bias is missing"),
        (
            "transducer.output.bias",
            lambda array: array * np.float32(np.inf),
            r"output\.bias holds numbers that are not",
        ),
        ("ctc.weight", lambda array: array.astype(np.float64), "weight is float64 of shape"),
    ],
)
def test_a_damaged_file_is_named(
    name: str, change: Callable[[np.ndarray], np.ndarray] | None, message: str, tmp_path: Path
) -> None:
    model = onnx.load_from_string(to_onnx(streaming()))
    (stored,) = (entry for entry in model.metadata_props if entry.key == TENSORS_KEY)
    tensors = safetensors.numpy.load(base64.b64decode(stored.value))
    array = tensors.pop(name)
    if change is not None:
        tensors[name] = change(array)
    stored.value = base64.b64encode(safetensors.numpy.save(tensors)).decode()
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=f"m.onnx: is damaged, its parts do not fit together: .*{message}"):
        asr.load(tmp_path / "m.onnx")


def test_what_a_transducer_cannot_do_is_refused_in_one_line(tone: Path, tmp_path: Path) -> None:
    recognizer, alone = small_recognizer(), streaming(ctc_weight=0.0)
    with pytest.raises(ConfigError, match=r"closed sets of phrases .* is a transducer; train one with"):
        build_search(recognizer, phrases=["a b"])
    for option, write_file in (
        ("--for sherpa-onnx", lambda: to_sherpa(recognizer, 0.1)),
        ("--web", lambda: export_page(recognizer, tmp_path / "page")),
        ("--int8", lambda: verified(recognizer, int8=True)),
    ):
        with pytest.raises(
            ConfigError, match=f"{option}: decodes CTC's log-probabilities, and this model is a transducer"
        ):
            write_file()
    with pytest.raises(
        ConfigError, match=r"no CTC output \(model\.ctc_weight: 0\), by which an exported file is compared"
    ):
        to_onnx(alone)
    with pytest.raises(ConfigError, match=r"cannot stream: it reads utterances in both directions, .*running"):
        recognizer.stream()
    with pytest.raises(ConfigError, match=r"no CTC output, by which .* --set model\.ctc_weight=0\.3"):
        alone.stream()
    with pytest.raises(ConfigError, match=r"no CTC output \(model\.ctc_weight: 0\).*--set model\.ctc_weight=0\.3"):
        align(alone, tone, "a b")
    with pytest.raises(ConfigError, match=r"no CTC output \(model\.ctc_weight: 0\)"):
        Validation(alone, [Utterance("a", tone, "a")])
    with pytest.raises(ConfigError, match="transducer has no CTC output to judge by"):
        require_judges(alone.config)
    training = recognizer.config.training.model_copy(update={"consistency": 0.2})
    with pytest.raises(ConfigError, match=r"training\.consistency: is for recognisers with model\.decoder=ctc"):
        build_augment(recognizer.config.model_copy(update={"training": training}), recognizer)
    transcript = alone.transcribe(tone)
    assert transcript.words == ()
    write(transcript, tone, output_paths(tmp_path / "out", ["txt", "json"]))
    spoken = alone.transcribe(random_waveforms(5, 4)[0], 8000)
    with pytest.raises(AsrError, match=r"-f srt needs the times of words, .*model\.ctc_weight: 0"):
        write(spoken, tone, output_paths(tmp_path / "out", ["srt"]))


@pytest.mark.parametrize("decoder", ["ctc", "joint", "attention"])
def test_only_a_transducer_can_do_without_ctc(decoder: str) -> None:
    settings = {"data": {"train": "t", "validation": "v"}, "model": {"decoder": decoder, "ctc_weight": 0}}
    with pytest.raises(ValueError, match=r"must be more than 0 unless model\.decoder is transducer"):
        Config.model_validate(settings)


def transducer_config(folder: Path, **training: object) -> Config:
    config = train_config(folder, **training)
    return config.model_copy(update={"model": config.model.model_copy(update={"decoder": "transducer"})})


def test_learns_tones_begun_from_ctc_and_resumed(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(train_config(tones, epochs=5), tmp_path / "first")
    first = load(tmp_path / "first" / "model.safetensors", "cpu")
    config = transducer_config(tones, epochs=4, start_from=str(tmp_path / "first" / "model.safetensors"))
    with interrupted(monkeypatch, after=2):
        train(config, tmp_path / "again")
    train(config, tmp_path / "again")
    recognizer = train(config, tmp_path / "run")
    model = tmp_path / "run" / "model.safetensors"
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == model.read_bytes()
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    best = min(log, key=lambda row: (row["cer"], row["validation_loss"], -row["epoch"]))
    assert best["cer"] < 40 and best["validation_loss"] < 0.5 * best["no_listening_loss"]
    assert not (tmp_path / "run" / "attention.png").exists()
    assert recognizer.units.symbols == first.units.symbols

    assert run_asr("transcribe", model, tones / "validation.jsonl", "-o", tmp_path / "hyp.jsonl").returncode == 0
    scored = run_asr("score", tones / "validation.jsonl", tmp_path / "hyp.jsonl").stdout.splitlines()
    assert scored[-1].startswith(f"%WER {best['wer']:.2f} [") and scored[-2].startswith(f"%CER {best['cer']:.2f} [")
    told = run_asr("info", model).stdout
    assert "transducer" in told

    lines: list[str] = []
    validation = Validation(recognizer, read_manifest(tones / "validation.jsonl"))
    texts = [utterance.text or "" for utterance in read_manifest(tones / "train.jsonl")]
    tune_ngrams(validation, recognizer.beam(None, estimate(texts, units="characters").model), lines.append)
    assert any(line.startswith("no model:") for line in lines)
    with pytest.raises(ConfigError, match="closed sets of phrases"):
        (tmp_path / "phrases.txt").write_text("ab\n")
        tune(recognizer, tones / "validation.jsonl", phrases=tmp_path / "phrases.txt")


def test_weights_of_shared_parts_are_kept(tmp_path: Path) -> None:
    """From another decoder, the encoder is kept; from a transducer, also the rows of the shared units."""
    old = small_recognizer()
    old.save(tmp_path / "old")
    new = Recognizer(old.config, Units("cbax "))
    assert start_from(new, tmp_path / "old").endswith("units 4 kept, 1 new, 1 dropped")
    for part in ("embedding", "output"):
        before, after = (getattr(model.acoustic_model.transducer, part).weight for model in (old, new))
        assert torch.equal(after[[0, 1, 2, 3]], before[[0, 3, 2, 1]]) and not torch.equal(after[4], before[4])
    for name in ("from_frames.weight", "layers.0.forward_rnn.weight_hh_l0"):
        before, after = (model.acoustic_model.transducer.state_dict()[name] for model in (old, new))
        assert torch.equal(before, after)
    by_attention = small_recognizer(decoder="attention")
    by_attention.save(tmp_path / "attention")
    assert start_from(new, tmp_path / "attention").endswith("units 4 kept, 1 new, 1 dropped")
