"""The attention decoder and joint decoding: exact against enumeration, equal at any padding, and trained."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import train_config
from oracles import ctc_loss_by_enumeration, random_waveforms, randomise
from processes import run_asr
from torch.nn import functional

from asr.batching import pad
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.decoding.attention import decode, rescore, search
from asr.errors import AsrError, ConfigError
from asr.lm.estimate import estimate
from asr.model_file import read_metadata
from asr.nn.attention import END, AttentionDecoder, EncoderDecoder, attention_loss, pad_units
from asr.recognition.align import align
from asr.recognition.recognizer import Recognizer, load
from asr.recognition.search import build_search
from asr.text import Units
from asr.training.train import train
from asr.training.watch import language_baseline_loss
from asr.transcript import text_of
from asr.tuning.validation import Validation
from asr.utterance import Utterance
from asr.writers import output_paths, write

TEXTS = [[(1, 2, 3), (3,)], [(2,), ()], [(1, 1), (3, 1, 2)]]
LENGTHS = torch.tensor([7, 3, 5])


def small_decoder(num_units: int = 4, scale: float = 0.6) -> AttentionDecoder:
    decoder = AttentionDecoder(num_units=num_units, state_size=5, hidden=6, attention=4, dropout=0.3).eval()
    randomise(decoder, 1, scale)
    return decoder


def some_states(frames: int = 7) -> torch.Tensor:
    return torch.randn(3, frames, 5, generator=torch.Generator().manual_seed(0))


def small_recognizer(decoder: str, **model: object) -> Recognizer:
    settings = {
        "data": {"train": "t.jsonl", "validation": "v.jsonl"},
        "features": {"sample_rate": 8000, "bins": 20},
        "model": {"hidden": 8, "layers": 2, "channels": 4, "decoder": decoder, **model},
    }
    recognizer = Recognizer(Config.model_validate(settings), Units("abcé "), {"training_hours": 1.5})
    randomise(recognizer.acoustic_model, 0)
    if isinstance(recognizer.acoustic_model, EncoderDecoder):
        randomise(recognizer.acoustic_model.decoder, 2, 1.0)
        with torch.no_grad():
            recognizer.acoustic_model.decoder.output.bias[END] = -3.0  # so that texts do not end at once
    recognizer.features.fit([pad(random_waveforms(9, 4))])
    return recognizer


def test_the_search_ends_where_the_weights_overflow() -> None:
    """Scores that are not numbers count as impossible: without this, no text ever ends."""
    decoder = small_decoder(scale=1e38)
    memory, state = decoder.remember(some_states(), LENGTHS), decoder.start(some_states(), 1)
    assert decoder.step(torch.full((3, 1), END), state, memory)[0].isnan().any()
    assert [[one.units for one in row] for row in search(decoder, some_states(), LENGTHS)] == [[()]] * 3


def test_attention_sums_to_one_over_what_is_said_and_is_zero_elsewhere() -> None:
    states = some_states()
    states[0, 2] = 0.0  # no speech
    units, mask = pad_units(TEXTS)
    _, alignments = small_decoder()(states, LENGTHS, units)
    assert alignments.shape == (3, 2, 4, 7) and mask.sum() == 4 + 2 + 2 + 1 + 3 + 4
    torch.testing.assert_close(alignments.sum(-1), torch.ones(3, 2, 4))
    for row, length in enumerate(LENGTHS):
        assert (alignments[row, :, :, length:] == 0).all() and (alignments[row, :, :, :2] > 0).all()
    assert (alignments[0, :, :, 2] == 0).all()


def test_one_unit_at_a_time_gives_what_teacher_forcing_gives() -> None:
    decoder, states = small_decoder(), some_states()
    units, mask = pad_units(TEXTS)
    expected, _ = decoder(states, LENGTHS, units)
    memory, state = decoder.remember(states, LENGTHS), decoder.start(states, 2)
    before = torch.full((3, 2), END)
    for step in range(units.shape[2]):
        log_probs, state = decoder.step(before, state, memory)
        torch.testing.assert_close(log_probs, expected[:, :, step], atol=1e-6, rtol=0)
        before = units[:, :, step]
    assert mask[0, 0].all()


def test_alone_and_at_any_padding_a_text_gets_the_same_log_probabilities() -> None:
    decoder, states = small_decoder(), some_states()
    units, mask = pad_units(TEXTS)
    together = -attention_loss(decoder(states, LENGTHS, units)[0], units, mask)
    padded = torch.cat([states, torch.full((3, 40, 5), 1e3)], dim=1)
    units, mask = pad_units([[*row, tuple([1] * 9)] for row in TEXTS])
    torch.testing.assert_close(-attention_loss(decoder(padded, LENGTHS, units)[0], units, mask)[:, :2], together)
    for row, texts in enumerate(TEXTS):
        for column, text in enumerate(texts):
            units, mask = pad_units([[text]])
            alone, _ = decoder(states[row : row + 1, : LENGTHS[row]], LENGTHS[row : row + 1], units)
            torch.testing.assert_close(-attention_loss(alone, units, mask)[0, 0], together[row, column])


def test_the_loss_is_cross_entropy_with_smoothed_targets() -> None:
    log_probs = torch.randn(1, 1, 4, 4).log_softmax(-1)
    units, mask = pad_units([[(2, 1, 3)]])
    for smoothing in (0.0, 0.1):
        expected = functional.cross_entropy(
            log_probs[0, 0], torch.tensor([2, 1, 3, END]), label_smoothing=smoothing, reduction="sum"
        )
        torch.testing.assert_close(attention_loss(log_probs, units, mask, smoothing=smoothing)[0, 0], expected)


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3])
def test_gradients_reach_every_parameter_and_no_padding(ctc_weight: float) -> None:
    model = EncoderDecoder(num_units=4, ctc_weight=ctc_weight, num_bins=8, hidden=4, layers=1, channels=2, dropout=0.1)
    randomise(model, 0)
    texts, lengths = [[1, 2], [3]], torch.tensor([24, 11])
    features = torch.randn(2, 24, 8, requires_grad=True)
    model(features, lengths, texts).sum().backward()
    for name, parameter in model.named_parameters():
        if name != "decoder.attention.energy.weight":
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert features.grad is not None and (features.grad[1, 11:] == 0).all() and (features.grad[1, :11] != 0).any()
    assert (model.eval()(features, lengths, texts) > 0).all()


def by_attention(decoder: AttentionDecoder, states: torch.Tensor, texts: list[tuple[int, ...]]) -> list[float]:
    units, mask = pad_units([texts])
    scores = -attention_loss(decoder(states[None], torch.tensor([len(states)]), units)[0], units, mask)[0]
    return scores.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_searches_find_the_best_of_all_texts(seed: int) -> None:
    """Attention alone, and joint decoding: with beams wide enough, what enumeration finds, with the same score."""
    torch.manual_seed(seed)
    weight = 0.4
    model = EncoderDecoder(num_units=3, ctc_weight=weight, num_bins=8, hidden=3, layers=1, channels=2, dropout=0.0)
    randomise(model, seed, 1.0)
    states, lengths = torch.randn(2, 3, model.size), torch.tensor([3, 2])
    with torch.inference_mode():
        log_probs = model.eval().log_probs(states)
        found = search(model.decoder, states, lengths, width=40)
        all_texts = [[t for n in range(length + 1) for t in itertools.product((1, 2), repeat=n)] for length in (3, 2)]
        best = rescore(model.decoder, states, log_probs, lengths, all_texts, weight)
        usual = decode(model, states, lengths, log_probs, Units("ab"))
        for row, texts in enumerate(all_texts):
            attention = by_attention(model.decoder, states[row, : lengths[row]], texts)
            order = sorted(range(len(texts)), key=lambda place: -attention[place])
            assert [hypothesis.units for hypothesis in found[row]] == [texts[place] for place in order]
            assert [h.score for h in found[row]] == pytest.approx(sorted(attention, reverse=True), abs=1e-5)
            frames = log_probs[row, : lengths[row]].numpy()
            ctc = [-ctc_loss_by_enumeration(frames, text) for text in texts]
            joint = [weight * one + (1 - weight) * other for one, other in zip(ctc, attention, strict=True)]
            place = int(np.argmax(joint))
            assert best[row].units == usual[row].units == texts[place]
            assert best[row].score == pytest.approx(joint[place], abs=1e-4)
            assert usual[row].score == pytest.approx(joint[place], abs=1e-4)


def test_a_beam_of_one_follows_the_most_probable_unit_and_ends_in_time() -> None:
    decoder, states = small_decoder(scale=1.0), some_states()
    for row, (hypothesis,) in enumerate(search(decoder, states, LENGTHS, width=1)):
        memory = decoder.remember(states[row : row + 1], LENGTHS[row : row + 1])
        state, before, units = decoder.start(memory.states, 1), torch.tensor([[END]]), []
        while len(units) < LENGTHS[row]:
            log_probs, state = decoder.step(before, state, memory)
            before = log_probs.argmax(-1)
            if before == END:
                break
            units.append(int(before))
        assert hypothesis.units == tuple(units)
    never = small_decoder()
    with torch.no_grad():
        never.output.bias[END] = -1e4
    assert [len(best.units) for best, *_ in search(never, states, LENGTHS, width=2)] == LENGTHS.tolist()


@pytest.mark.parametrize("kind", ["attention", "joint"])
def test_the_same_texts_and_losses_alone_and_in_any_batch(kind: str, device: torch.device) -> None:
    recognizer = small_recognizer(kind).to(device)
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


@pytest.mark.parametrize("kind", ["attention", "joint"])
def test_model_files_and_transcripts(kind: str, tmp_path: Path, tone: Path) -> None:
    recognizer = small_recognizer(kind)
    recognizer.save(tmp_path / "m")
    loaded = load(tmp_path / "m", "cpu")
    waveforms = random_waveforms(5, 4)
    texts = recognizer.recognize(waveforms)
    assert loaded.recognize(waveforms) == texts and any(texts)
    place = max(range(4), key=lambda number: len(texts[number]))
    transcript = loaded.transcribe(waveforms[place], 8000)
    assert transcript.text == " ".join(texts[place].split())
    if kind == "joint":
        assert text_of(transcript.words) == transcript.text and transcript.words[0].end > 0
        assert align(loaded, tone, "a b").transcript.duration == 1.0
        write(transcript, tone, {"srt": tmp_path / "out.srt"})
        return
    assert transcript.words == ()
    with pytest.raises(ConfigError, match=r"no CTC output .*model\.decoder=joint"):
        align(loaded, tone, "a b")
    write(transcript, tone, output_paths(tmp_path / "out", ["txt", "json"]))
    assert (tmp_path / "out.txt").read_text() == transcript.text + "\n"
    with pytest.raises(AsrError, match="-f srt needs the times of words"):
        write(transcript, tone, output_paths(tmp_path / "out", ["txt", "srt"]))
    with pytest.raises(ConfigError, match="decodes with attention"):
        build_search(loaded, nbest=3)
    with pytest.raises(ConfigError, match="decodes with attention"):
        Validation(loaded, [Utterance("a", tone, "a")])


def test_models_from_before_there_were_decoders_are_ctc(tmp_path: Path) -> None:
    small_recognizer("ctc").save(tmp_path / "new")
    metadata = read_metadata(tmp_path / "new")
    for key in ("decoder", "ctc_weight"):
        del metadata["config"]["model"][key]
    del metadata["config"]["data"]["text_field"]
    tensors = safetensors.torch.load_file(tmp_path / "new")
    assert not any("decoder" in name for name in tensors)
    safetensors.torch.save_file(tensors, tmp_path / "old", {"asr": json.dumps(metadata)})
    old, new = (load(tmp_path / name, "cpu") for name in ("old", "new"))
    assert old.config == new.config and old.config.model.loss_weights == (1.0, 0.0)
    waveforms = random_waveforms(0, 3)
    assert torch.equal(old.log_probs(*pad(waveforms))[0], new.log_probs(*pad(waveforms))[0])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.decoder=transformer", "'ctc', 'attention', 'joint' or 'transducer'"),
        ("model.ctc_weight=0", "must be more than 0"),
        ("model.ctc_weight=1", "less than 1"),
        ("data.text_field=", "must be a text"),
        ("data.text_field=''", "must not be empty"),
    ],
)
def test_settings_that_make_no_sense(setting: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("data: {train: t.jsonl, validation: v.jsonl}")
    with pytest.raises(ConfigError, match=message):
        Config.load(tmp_path / "c.yaml", [setting])


def test_a_text_alone_is_worth_what_its_n_gram_says() -> None:
    training, validation = ["ab ab", "ba", "abba ab"], ["ab", "b a"]
    model = estimate(training, units="characters").model
    nats = -sum(model.score(model.tokens(text)) for text in validation)
    assert language_baseline_loss(training, validation, Units(" ab")) == pytest.approx(nats / 5)
    assert language_baseline_loss(["a b", "b"], ["a b"], Units("ab", "phones")) > 0


def with_decoder(config: Config, decoder: str) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"decoder": decoder})})


@pytest.mark.parametrize(("kind", "epochs"), [("attention", 15), ("joint", 16)])
def test_learns_tones_that_a_field_of_the_manifest_names(kind: str, epochs: int, tones: Path, tmp_path: Path) -> None:
    names = str.maketrans({"a": "x", "b": "y", "c": "z"})
    for split in ("train", "validation"):
        rows = read_manifest(tones / f"{split}.jsonl")
        rows = [replace(row, text="b", extra={"tone": (row.text or "").translate(names)}) for row in rows]
        write_manifest(tmp_path / f"{split}.jsonl", rows)
    config = with_decoder(train_config(tmp_path, epochs=epochs), kind)
    config = config.model_copy(update={"data": config.data.model_copy(update={"text_field": "tone"})})
    recognizer = train(config, tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    best = min(log, key=lambda row: (row["cer"], row["validation_loss"], -row["epoch"]))
    assert best["cer"] < 10 and best["validation_loss"] < 0.5 * best["no_listening_loss"]
    assert (best["blank_share"] is None) == (kind == "attention")
    assert recognizer.units.symbols == ("x", "y", "z")
    assert all((tmp_path / "run" / f"{name}.png").stat().st_size > 10_000 for name in ("attention", "training"))

    model, hypotheses = tmp_path / "run" / "model.safetensors", tmp_path / "hyp.jsonl"
    assert run_asr("transcribe", model, tmp_path / "validation.jsonl", "-o", hypotheses).returncode == 0
    arguments = ["--config", tmp_path / "run" / "config.yaml", "--bleu", tmp_path / "validation.jsonl", hypotheses]
    scored = run_asr("score", *arguments).stdout.splitlines()
    assert scored[-1].startswith(f"%WER {best['wer']:.2f} [") and scored[-2].startswith(f"%CER {best['cer']:.2f} [")
    assert scored[0].startswith("BLEU = ") and "version:" in scored[0] and scored[1].startswith("chrF2 = ")


def test_a_manifest_without_the_field_is_named(tones: Path, tmp_path: Path) -> None:
    config = train_config(tones, epochs=1)
    config = config.model_copy(update={"data": config.data.model_copy(update={"text_field": "translation"})})
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    failed = run_asr("train", "c.yaml", cwd=tmp_path)
    assert failed.returncode == 1 and "the line has no translation" in failed.stderr
    assert "none of its 96 utterances can be used" in failed.stderr and "Traceback" not in failed.stderr


def test_text_longer_than_its_audio_is_for_attention_alone(tones: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        rows = read_manifest(tones / f"{split}.jsonl")[:8]
        write_manifest(tmp_path / f"{split}.jsonl", [replace(rows[0], text="abc" * 60), *rows[1:]])
    model = train(with_decoder(train_config(tmp_path, epochs=1), "attention"), tmp_path / "attention")
    assert model.summary["training_utterances"] == 8
    model = train(with_decoder(train_config(tmp_path, epochs=1), "joint"), tmp_path / "joint")
    assert model.summary["training_utterances"] == 7


def test_an_encoder_that_ctc_has_trained_begins_an_attention_model(tones: Path, tmp_path: Path) -> None:
    first = train(train_config(tones, epochs=1), tmp_path / "first")
    path = str(tmp_path / "first" / "model.safetensors")
    settings = train_config(tones, epochs=1, learning_rate=1e-9, start_from=path)
    for kind in ("attention", "joint"):
        weights = train(with_decoder(settings, kind), tmp_path / kind).acoustic_model.state_dict()
        for name, tensor in first.acoustic_model.state_dict().items():
            if name in weights:
                torch.testing.assert_close(weights[name].cpu(), tensor.cpu(), atol=1e-6, rtol=0)
        assert ("output.weight" in weights) == (kind == "joint") and "layers.1.forward_rnn.weight_hh_l0" in weights
