"""Tests the page of a run: its numbers and utterances agree with the library, and it is one complete file."""

import json
import re
from pathlib import Path

import pytest
import torch
from conftest import train_config
from oracles import randomise
from typer.testing import CliRunner

from asr.cli import app
from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from asr.recognition.recognizer import Recognizer, load
from asr.report.run import write_report
from asr.scoring.wer import score
from asr.text import Units
from asr.training.data import open_data
from asr.training.evaluate import evaluate


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    recognizer = Recognizer(train_config(tones), Units("abc"))
    randomise(recognizer.acoustic_model, 0)
    recognizer.summary = {"training_utterances": 96, "training_hours": 0.02, "validation_utterances": 16,
                          "epoch": 2, "seed": 0, "git_commit": None}  # fmt: skip
    folder = tmp_path_factory.mktemp("runs") / "a < b"
    recognizer.save(folder / "model.safetensors")
    rows = [{"epoch": n, "train_loss": 3 / n, "validation_loss": 4 / n, "wer": 90.0, "cer": 80 / n} for n in (1, 2, 3)]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_page_holds_all_and_needs_nothing(run: Path, tones: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(run)])
    assert done.exit_code == 0, done.stderr
    page = (run / "report.html").read_text()
    assert re.sub(r"data:[a-z/+]+;base64,[\w+/=]+", "", page).count("http") == 0
    assert set(re.findall(r'src="(.{8})', page)) == {"data:ima", "data:aud"}
    assert page.count("<audio") == 8 and page.count("<img") == 8 + 2
    assert "Training run a &lt; b" in page and "0.02 h" in page and "commit unknown" in page
    assert "@media print" in page and 'name="viewport"' in page


def test_the_score_and_the_worst_are_those_of_evaluation(run: Path, tones: Path) -> None:
    write_report(run, run / "page.html")
    page = (run / "page.html").read_text()
    recognizer = load(run / "model.safetensors")
    result = evaluate(recognizer, open_data(recognizer.config, lambda line: None).validation)
    assert f"%WER {result.score.wer.percent:.2f} [" in page
    cers = {
        utterance.id: score([utterance.text or ""], [heard], interval=False).cer.percent
        for utterance, heard in zip(read_manifest(tones / "validation.jsonl"), result.hypotheses, strict=True)
    }
    shown = re.findall(r"(validation-\d+): CER (\d+) %", page)
    assert [int(value) for _, value in shown[:5]] == [round(value) for value in sorted(cers.values())[:-6:-1]]
    assert all(int(value) == round(cers[name]) for name, value in shown)
    middle = sorted(cers.values())[len(cers) // 2]
    assert any(abs(cers[name] - middle) < 1e-9 for name, _ in shown[5:])


def test_what_is_missing_is_named(run: Path, tmp_path: Path) -> None:
    for folder, message in ((tmp_path / "nothing", "nothing: is no folder"), (tmp_path, "log.jsonl: cannot be read")):
        assert message in str(CliRunner().invoke(app, ["report", str(folder)]).exception)
    for content in ("", '{"epoch": 1'):
        (tmp_path / "log.jsonl").write_text(content)
        with pytest.raises(AsrError, match="has no complete epoch"):
            write_report(tmp_path, tmp_path / "page.html")
