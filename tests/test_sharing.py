"""Cards, archives and uploads of models: what they state, what they leave out, and that nothing is invented."""

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html import unescape
from pathlib import Path

import jiwer
import markdown
import numpy as np
import pytest
import soundfile
import yaml
from conftest import RATE, REPOSITORY, fresh_recognizer, spell
from hub_server import TOKEN, Hub, running_hub, use
from huggingface_hub import ModelCard
from typer.testing import CliRunner, Result

import asr
from asr.cli import app
from asr.config import Config
from asr.corpus.manifest import with_hypothesis, write_manifest
from asr.errors import AsrError
from asr.exporting.onnx import to_onnx
from asr.hub import local_file
from asr.model_file import read_metadata, signature
from asr.onnx_file import read_properties, require_own_graph, with_property
from asr.recognition.recognizer import Recognizer
from asr.sharing.card import front_matter
from asr.sharing.contents import SharedModel, shared_names
from asr.sharing.licences import _HUB, hub_fields, parse_licence
from asr.text import Units
from asr.utterance import Utterance

SAMPLES = REPOSITORY / "tests" / "samples"
SUMMARY = {
    "training_hours": 0.5, "training_utterances": 4, "validation_utterances": 2, "epoch": 3, "validation_cer": 12.345,
    "validation_wer": 45.678, "seed": 7, "git_commit": "abc1234", "versions": {"asr": "0.1.0"},
}  # fmt: skip
STATED = ["--title", "Tones", "--language", "mdw", "--language", "pt-BR", "--licence", "cc-by-nc-sa-4.0",
          "--author", "Doe, Jane", "--author", "Institute", "--data", "Field recordings of 2024",
          "--data-licence", "CC-BY-4.0"]  # fmt: skip
BIBTEX = "@misc{doe2026,\n  title = {Tones},\n  year = {2026}\n}"


def utterances(folder: Path, split: str, speakers: str, texts: str) -> list[Utterance]:
    return [
        Utterance(f"{split}-{n}", folder / split / f"{n}.wav", text, duration=1.5 + n, speaker=speaker)
        for n, (speaker, text) in enumerate(zip(speakers.split(), texts.split(","), strict=True))
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write a run whose configuration has absolute paths, with its manifests, its log and hypotheses of a test set."""
    data, run = tmp_path / "home of anna" / "data", tmp_path / "home of anna" / "runs" / "tones"
    splits = {
        "train": utterances(data, "train", "ann ben cid ben", "abc,ab,ba c,a"),
        "validation": utterances(data, "validation", "dee dee", "cab,secret validation text"),
        "test": utterances(data, "test", "ben eve", "a b c,c b a a"),
    }
    for name, rows in splits.items():
        write_manifest(data / f"{name}.jsonl", rows)
    hypotheses = zip(splits["test"], ("a b b", "c b a"), strict=True)
    write_manifest(run / "test.hyp.jsonl", [with_hypothesis(row, text) for row, text in hypotheses])
    recognizer = fresh_recognizer("abc |`<")
    recognizer.config = with_data(recognizer.config, data / "train.jsonl", data / "validation.jsonl")
    recognizer.summary = dict(SUMMARY)
    recognizer.save(run / "model.safetensors")
    (run / "model.onnx").write_bytes(to_onnx(recognizer))
    row = {
        "epoch": 1,
        "train_loss": 1.0,
        "wer": 45.678,
        "cer": 12.345,
        "validation": [{"name": str(data / "validation.jsonl"), "cer": 12.345}],
    }
    (run / "log.jsonl").write_text(json.dumps({**row, "samples": [["secret validation text", "ab"]]}) + "\n")
    (tmp_path / "me.bib").write_text(BIBTEX)
    return run


def with_data(config: Config, train: Path | str, validation: Path | str) -> Config:
    data = type(config.data).model_validate({"train": str(train), "validation": str(validation)})
    return config.model_copy(update={"data": data})


def data_of(run: Path) -> Path:
    return run.parent.parent / "data"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def done(*arguments: object) -> Result:
    result = call(*arguments)
    assert result.exit_code == 0, (result.exception, result.stderr)
    return result


def failure(*arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, AsrError), (result.exception, result.stderr)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def card_of(run: Path) -> str:
    return (run / "README.md").read_text(encoding="utf-8")


def test_a_card_of_what_is_known_calls_all_else_not_stated(run: Path) -> None:
    result = done("card", run)
    for name in ("title", "language", "licence of the model", "authors", "source of the data", "licence of the data",
                 "how to cite", "score on test data"):  # fmt: skip
        assert f"{name}: not stated; --" in result.stderr
    card = card_of(run)
    for line in ("**language**: not stated", "**licence of the model**: not stated", "**authors**: not stated",
                 "**source**: not stated", "**speech for training**: 0.50 h", "**utterances for training**: 4",
                 "**speakers of training**: 3", "**speakers of validation**: 1", "**seed**: 7", "**epoch**: 3",
                 "| validation | WER | 45.68 % | not stated |", "Score on test data: not stated.",
                 "**program**: asr 0.1.0, commit abc1234", "The longest utterance of training has 4.5 s."):  # fmt: skip
        assert line in card
    assert f"sha256:{signature(run / 'model.safetensors')}" in card
    data = ModelCard(card).data
    assert (data.library_name, data.pipeline_tag) == ("asr", "automatic-speech-recognition")
    assert data.license is None and data.language is None
    assert [(one.metric_type, one.metric_value, one.dataset_split) for one in data.eval_results] == [
        ("wer", 45.68, "validation"), ("cer", 12.35, "validation"),
    ]  # fmt: skip
    assert str(run.parent.parent) not in card


def test_a_card_with_all_statements_and_a_test_score(run: Path, tmp_path: Path) -> None:
    reference, hypothesis = data_of(run) / "test.jsonl", run / "test.hyp.jsonl"
    result = done("card", run, *STATED, "--cite", tmp_path / "me.bib", "--score", reference, hypothesis)
    assert result.stderr.splitlines() == [
        f"written: {run / 'README.md'}", f"next: asr archive '{run}' -o tones.zip",
    ]  # fmt: skip
    card = card_of(run)
    assert "not stated" not in card.replace("| not stated | not stated |", "")  # the interval of validation
    assert BIBTEX in card
    data = ModelCard(card).data
    assert (data.license, data.language) == ("cc-by-nc-sa-4.0", ["mdw", "pt"])
    assert data.to_dict()["language_bcp47"] == ["mdw", "pt-BR"]
    pairs = ["a b c", "c b a a"], ["a b b", "c b a"]
    found = {one.metric_type: one for one in data.eval_results if one.dataset_split == "test"}
    assert found["wer"].metric_value == round(100 * jiwer.wer(*pairs), 2)
    assert found["cer"].metric_value == round(100 * jiwer.cer(*pairs), 2)
    assert found["wer"].dataset_args == {"sha256": sha256(reference.read_bytes()).hexdigest()}
    assert sha256(hypothesis.read_bytes()).hexdigest() in card
    for line in done("score", reference, hypothesis).stdout.splitlines():  # the numbers of asr score, with intervals
        counts, interval = re.search(r"\[(\d+ / \d+)", line), re.search(r"interval ([\d.-]+)", line)
        assert counts is not None and interval is not None
        assert re.search(rf"\| {re.escape(interval[1])} \(.*\) \| {counts[1]} \|", card)
    assert "2 utterances of 2 speakers, 1 of them in training too" in card
    assert "Of the 2 speakers of the test, 1 are not in training." in card
    assert "| `c` | `b` | 1 |" in card


def test_a_title_may_have_letters_that_join(run: Path) -> None:
    title = "می\u200cخواهم"  # Persian, with a zero-width non-joiner
    done("card", run, "--title", title)
    assert f"# {title}\n" in card_of(run)


def test_statements_are_kept_until_they_are_given_anew(run: Path) -> None:
    done("card", run, *STATED)
    result = done("card", run, "--title", "New tones", "--author", "Roe, Ann")
    assert "how to cite: not stated" in result.stderr and "language: not" not in result.stderr
    card = card_of(run)
    assert "# New tones" in card and "**authors**: Roe, Ann\n" in card and "**language**: mdw, pt-BR" in card


def test_a_card_that_a_person_changed_is_not_replaced(run: Path, tmp_path: Path) -> None:
    done("card", run)
    path = run / "README.md"
    path.write_text(card_of(run).replace("## Limits", "Ask the elders first.\n\n## Limits"))
    before = path.read_bytes()
    message = f"{path}: was written or changed by hand, and is not replaced; name another file with -o"
    assert failure("card", run, "--title", "T") == message
    assert path.read_bytes() == before
    done("card", run, "--title", "T", "-o", tmp_path / "new.md")
    done("archive", run, "-o", tmp_path / "tones.zip")  # which takes the card of the person
    assert b"Ask the elders first." in zipfile.ZipFile(tmp_path / "tones.zip").read("tones/README.md")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--language", "French"], "--language French: is no language tag; write the code of ISO 639"),
        (["--language", "EN"], "--language EN: is no language tag"),
        (["--language", "en_US"], "--language en_US: is no language tag"),
        (["--licence", "CC-BY"], "--licence CC-BY: is no identifier of a licence; write one of https://spdx.org/lic"),
        (["--licence", "MIT OR Apache-2.0"], "--licence MIT OR Apache-2.0: is no identifier of a licence"),
        (["--licence", ""], "--licence : is no identifier of a licence"),
        (["--data-licence", "free"], "--data-licence free: is no identifier of a licence"),
        (["--licence", "LicenseRef-Elders"], "is in no list, so a reader needs its text; add --licence-link https://"),
        (["--licence-link", "my page"], "--licence-link my page: is no address; write one that begins with https://"),
        (["--title", " "], "--title ' ': must be one line of 1 to 500 characters"),
        (["--author", "Doe\nJane"], "--author 'Doe\\nJane': must be one line"),
        (["--data", "x" * 501], "must be one line of 1 to 500 characters"),
        (["--cite", "none.bib"], "none.bib: cannot be read: No such file or directory"),
        (["--cite", "empty.bib"], "--cite empty.bib: has no BibTeX entry such as @misc{name2026"),
        (["--cite", "open.bib"], "--cite open.bib: has 2 opening and 1 closing braces; export the entry again"),
        (["--cite", "fence.bib"], "--cite fence.bib: has ```, which no entry needs"),
        (["--score", "-", "x"], "--score: takes two files, not standard input"),
        (["--score", "none.jsonl", "x"], "none.jsonl: no such file"),
        (["-o", "folder"], "folder: cannot be written: Is a directory"),
    ],
)
def test_wrong_options(
    run: Path, tmp_path: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.bib").write_text("Doe, 2026")
    Path("open.bib").write_text("@misc{doe, title = {Tones}")
    Path("fence.bib").write_text("@misc{doe, note = {```}}")
    Path("folder").mkdir()
    assert message in failure("card", run, *options)
    assert not (run / "README.md").exists()


@pytest.mark.parametrize("tag", ["fr", "mdw", "pt-BR", "sr-Latn-RS", "es-419", "de-1996", "qaa", "en-x-home", "mul"])
def test_language_tags(run: Path, tag: str) -> None:
    done("card", run, "--language", tag)
    assert front_matter(card_of(run))["language"] == [tag[:2] if tag[2:3] in ("", "-") else tag[:3]]


def test_licences() -> None:
    for identifier in _HUB:
        assert hub_fields(parse_licence(identifier, "--licence"), None) == {"license": identifier}
    assert parse_licence("cc-by-4.0", "") == "CC-BY-4.0"
    assert hub_fields(parse_licence("EUPL-1.2", ""), None) == {"license": "other", "license_name": "eupl-1.2"}
    own = hub_fields(parse_licence("LicenseRef-Elders", ""), "https://example.org/l")
    assert own == {"license": "other", "license_name": "elders", "license_link": "https://example.org/l"}


def test_a_licence_of_ones_own(run: Path, tmp_path: Path) -> None:
    done("card", run, *STATED, "--licence", "LicenseRef-Elders", "--licence-link", "https://example.org/licence")
    assert "**licence of the model**: [LicenseRef-Elders](https://example.org/licence)" in card_of(run)
    done("archive", run, "-o", tmp_path / "tones.zip")
    cff = yaml.safe_load(zipfile.ZipFile(tmp_path / "tones.zip").read("tones/CITATION.cff"))
    assert "license" not in cff and cff["license-url"] == "https://example.org/licence"


def test_no_text_of_data_becomes_markup(run: Path) -> None:
    """Markdown of another program is the oracle: words and units come out as code, a title as text."""
    reference, hypothesis = run / "r.jsonl", run / "h.jsonl"
    row = Utterance("1", run / "1.wav", "<script>alert(1)</script> a|b `c` **d**")
    write_manifest(reference, [row])
    write_manifest(hypothesis, [with_hypothesis(row, "x y z w")])
    done("card", run, "--title", "A <b>|`bold`| *model*", "--score", reference, hypothesis)
    body = card_of(run).partition("\n---\n")[2]
    page = markdown.markdown(body, extensions=["tables", "fenced_code"])
    assert "<script" not in page and "<b>" not in page and "<em>" not in page and "<strong>d" not in page
    code = {unescape(text) for text in re.findall(r"<code>(.*?)</code>", page)}
    assert {"<script>alert(1)</script>", "a|b", "`c`", "**d**", "|", "`", "<", "␣"} <= code
    assert unescape(page.partition("<h1>")[2].partition("</h1>")[0]) == "A <b>|`bold`| *model*"
    rows = re.findall(r"<tr>.*?</tr>", page.partition("Confused words")[2].partition("</table>")[0], re.DOTALL)
    assert {row.count("<t") for row in rows} == {4}  # <tr> and three cells


def test_a_test_set_that_was_trained_on_is_named(run: Path) -> None:
    train, hypotheses = data_of(run) / "train.jsonl", run / "train.hyp.jsonl"
    rows = utterances(data_of(run), "train", "ann ben cid ben", "abc,ab,ba c,a")
    write_manifest(hypotheses, [with_hypothesis(row, "a") for row in rows])
    result = done("card", run, "--score", train, hypotheses)
    said = "their score is better than that of new recordings"
    assert f"{train}: 4 of 4 test utterances are in train too; {said}" in result.stderr
    assert f"- 4 of 4 test utterances are in train too; {said}.\n" in card_of(run)
    assert "Of the 3 speakers of the test, 0 are not in training. It was not tested on other voices." in card_of(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "train.jsonl is not on this machine, or not seen from this folder"),
        ("speaker", "not every line of the manifest has the field speaker"),
        ("damaged", "the manifest cannot be read ("),
        ("shards", "the data is in shards or at an address, which are not read here"),
    ],
)
def test_speakers_that_cannot_be_counted_are_not_stated(run: Path, change: str, message: str) -> None:
    train = data_of(run) / "train.jsonl"
    if change == "missing":
        train.unlink()
    elif change == "speaker":
        train.write_text(train.read_text().replace(', "speaker": "cid"', ""))
    elif change == "damaged":
        train.write_text("{\n")
    else:
        recognizer = asr.load(run / "model.safetensors", "cpu")
        recognizer.config = with_data(recognizer.config, "s3://bucket/shards", data_of(run) / "validation.jsonl")
        recognizer.save(run / "model.safetensors")
    assert f"speakers of train: not stated; {message}" in done("card", run).stderr
    assert "**speakers of training**: not stated" in card_of(run)


def test_manifests_that_changed_after_training_count_nothing(run: Path) -> None:
    train = data_of(run) / "train.jsonl"
    train.write_text("".join(train.read_text().splitlines(keepends=True)[:2]))
    done("card", run)
    assert "**speakers of training**: not stated (the manifests have changed since)" in card_of(run)


@pytest.mark.parametrize("name", ["recogniser-0.1.safetensors", "recogniser-0.1.onnx", "classifier-0.1.safetensors"])
def test_cards_of_old_files(name: str, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / name, tmp_path / name)
    done("card", tmp_path / name)
    card = ModelCard(card_of(tmp_path))
    task = "audio-classification" if name.startswith("classifier") else "automatic-speech-recognition"
    assert card.data.pipeline_tag == task


def test_a_classifier_is_scored_by_accuracy(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "classifier-0.1.safetensors", tmp_path / "model.safetensors")
    rows = utterances(tmp_path, "test", "ann ben cid", "x,y,x")
    write_manifest(tmp_path / "test.jsonl", rows)
    write_manifest(tmp_path / "hyp.jsonl", [with_hypothesis(row, "x") for row in rows])
    field = read_metadata(tmp_path / "model.safetensors")["config"]["data"].get("text_field", "text")
    for name in ("test", "hyp"):
        lines = map(json.loads, (tmp_path / f"{name}.jsonl").read_text().splitlines())
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(json.dumps({**row, field: row["text"]}) + "\n" for row in lines)
        )
    done("card", tmp_path, "--score", tmp_path / "test.jsonl", tmp_path / "hyp.jsonl")
    (one,) = [one for one in ModelCard(card_of(tmp_path)).data.eval_results if one.dataset_split == "test"]
    assert (one.metric_type, one.metric_value) == ("accuracy", 66.67)
    assert "| 2 / 3 right |" in card_of(tmp_path)


def test_language_models_have_no_card(tmp_path: Path) -> None:
    message = "is a language model; recognisers and classifiers are shared"
    assert message in failure("card", SAMPLES / "language-model-0.1.safetensors")


def archived(run: Path, path: Path, *options: object) -> dict[str, bytes]:
    done("archive", run, "-o", path, *options)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(name.startswith(f"{path.stem}/") for name in archive.namelist())
        return {name.removeprefix(f"{path.stem}/"): archive.read(name) for name in archive.namelist()}


def test_an_archive_holds_the_model_and_nothing_of_this_machine(run: Path, tmp_path: Path) -> None:
    done("card", run, *STATED, "--cite", tmp_path / "me.bib")
    (run / "receipt.json").write_text('{"model": "model.safetensors"}')
    result = done("archive", run, "-o", tmp_path / "tones.zip")
    assert result.stdout == f"{tmp_path / 'tones.zip'}\n"
    train = data_of(run) / "train.jsonl"
    assert f"path of this machine: {train} is train.jsonl in what is shared" in result.stderr
    assert f"{run / 'log.jsonl'}: 1 validation text is left out" in result.stderr
    files = archived(run, tmp_path / "tones.zip")
    assert set(files) == {
        "model.safetensors", "README.md", "config.yaml", "log.jsonl", "receipt.json", "citation.bib", "CITATION.cff",
        ".zenodo.json", "SHA256SUMS",
    }  # fmt: skip
    for name, content in files.items():
        assert b"home of anna" not in content and str(tmp_path).encode() not in content, name
        assert b"secret validation" not in content, name
    sums = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {name: sha256(content).hexdigest() for name, content in files.items() if name != "SHA256SUMS"}
    row = json.loads(files["log.jsonl"])
    assert row["validation"] == [{"name": "validation.jsonl", "cer": 12.345}] and row["wer"] == 45.678
    config = Config.model_validate(yaml.safe_load(files["config.yaml"]))
    assert config.data.train == ("train.jsonl",) and config.features.sample_rate == RATE
    cff = yaml.safe_load(files["CITATION.cff"])
    assert cff["authors"] == [{"family-names": "Doe", "given-names": "Jane"}, {"name": "Institute"}]
    assert (cff["cff-version"], cff["title"], cff["license"]) == ("1.2.0", "Tones", "CC-BY-NC-SA-4.0")
    zenodo = json.loads(files[".zenodo.json"])
    assert (zenodo["title"], zenodo["license"], zenodo["language"]) == ("Tones", "cc-by-nc-sa-4.0", "mdw")
    assert zenodo["creators"] == [{"name": "Doe, Jane"}, {"name": "Institute"}]


def test_the_model_of_an_archive_answers_as_before(run: Path, tmp_path: Path) -> None:
    done("card", run)
    archived(run, tmp_path / "tones.zip")
    with zipfile.ZipFile(tmp_path / "tones.zip") as archive:
        archive.extractall(tmp_path)
    assert signature(tmp_path / "tones/model.safetensors") == signature(run / "model.safetensors")
    sound = spell("abc", np.random.default_rng(0)).astype(np.float32)
    before, after = (asr.load(folder / "model.safetensors", "cpu") for folder in (run, tmp_path / "tones"))
    assert before.transcribe(sound, RATE) == after.transcribe(sound, RATE)
    assert after.config == with_data(before.config, "train.jsonl", "validation.jsonl")
    soundfile.write(tmp_path / "x.wav", sound, RATE)
    done("transcribe", tmp_path / "tones", tmp_path / "x.wav")  # its folder is one of a run


def test_equal_runs_give_equal_archives(run: Path, tmp_path: Path) -> None:
    done("card", run, *STATED)
    archived(run, tmp_path / "tones.zip")
    shutil.copytree(run.parent.parent, tmp_path / "moved")
    archived(tmp_path / "moved" / "runs" / "tones", tmp_path / "again" / "tones.zip")
    assert (tmp_path / "tones.zip").read_bytes() == (tmp_path / "again" / "tones.zip").read_bytes()


def test_receipts(run: Path, tmp_path: Path) -> None:
    done("card", run)
    more = tmp_path / "receipt-test.json"
    more.write_text(json.dumps({"files": [{"path": "/home/anna/x.wav"}]}))
    result = done("archive", run, "-o", tmp_path / "a.zip", "--receipt", more)
    assert f"{more}: names paths of this machine, such as /home/anna/x.wav, and is archived as it is" in result.stderr
    assert "CITATION.cff and .zenodo.json: left out; state --title and --author with asr card" in result.stderr
    assert archived(run, tmp_path / "b.zip", "--receipt", more)["receipt-test.json"] == more.read_bytes()
    (run / "receipt.json").write_bytes(b"RIFF\0\0\0\0WAVE")
    assert f"{run / 'receipt.json'}: is no JSON, so it is no receipt" in failure(
        "archive", run, "-o", tmp_path / "c.zip"
    )
    twin = tmp_path / "README.md"
    twin.write_text("{}")
    (run / "receipt.json").unlink()
    assert "the archive has another file README.md" in failure(
        "archive", run, "-o", tmp_path / "c.zip", "--receipt", twin
    )
    assert not (tmp_path / "c.zip").exists()


def test_no_recording_comes_into_an_archive(run: Path, tmp_path: Path) -> None:
    soundfile.write(run / "README.md", np.zeros(100), RATE, format="WAV")
    assert "README.md" in failure("archive", run, "-o", tmp_path / "a.zip")
    (run / "README.md").write_bytes(b"fLaC as text")
    assert "README.md: is a recording, and archives of models have none" in failure(
        "archive", run, "-o", tmp_path / "a.zip"
    )


@pytest.mark.parametrize("command", [["archive", "-o", "x.zip"], ["push", "anna/tones"]])
def test_a_card_is_needed_and_must_describe_these_weights(run: Path, command: list[str]) -> None:
    name, *options = command
    assert f"{run / 'README.md'}: there is no card; write it first: asr card '{run}'" in failure(name, run, *options)
    done("card", run)
    fresh_recognizer("xyz").save(run / "model.safetensors")
    assert f"{run / 'README.md'}: describes other weights; write it again" in failure(name, run, *options)


def test_the_name_of_an_archive_must_end_with_zip(run: Path) -> None:
    assert failure("archive", run, "-o", "tones.tar") == "-o tones.tar: is a zip file; name it NAME.zip"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["data/train.jsonl", "data/v.jsonl"], {}),
        (["/a/train.jsonl", "data/v.jsonl"], {"/a/train.jsonl": "train.jsonl"}),
        (["/a/x.jsonl", "/b/x.jsonl"], {"/a/x.jsonl": "1/x.jsonl", "/b/x.jsonl": "2/x.jsonl"}),
        (["/a/x.jsonl", "x.jsonl"], {"/a/x.jsonl": "1/x.jsonl"}),
        ([r"C:\Users\anna\x.jsonl", "~/y.jsonl"], {r"C:\Users\anna\x.jsonl": "x.jsonl", "~/y.jsonl": "y.jsonl"}),
        (["s3://bucket/x", "https://anna:pw@host/x?key=1"], {"https://anna:pw@host/x?key=1": "https://host/x"}),
    ],
)
def test_names_in_place_of_paths(paths: list[str], names: dict[str, str]) -> None:
    tree = with_data(fresh_recognizer().config, paths[0], paths[1]).model_dump(mode="json")
    assert shared_names(tree) == names
    assert len({names.get(path, path) for path in paths}) == 2  # two files stay two


def test_a_model_that_started_from_another_one_names_it(run: Path, hub: Hub) -> None:
    """`asr train --from hf://…` stores the path of a cache; the card and the shared model name the address."""
    done("card", run)
    address = done("push", run, "anna/base").stdout.strip()
    recognizer = asr.load(run / "model.safetensors", "cpu")
    for start, said in ((local_file(address), address), ("/home/anna/base.safetensors", "base.safetensors")):
        training = recognizer.config.training.model_copy(update={"start_from": str(start)})
        recognizer.config = recognizer.config.model_copy(update={"training": training})
        recognizer.save(run / "model.safetensors")
        done("card", run)
        assert f"**started from**: `{said}`" in card_of(run)
        assert ModelCard(card_of(run)).data.base_model == ("anna/base" if said == address else None)
        assert yaml.safe_load(SharedModel(run / "model.safetensors").config_yaml())["training"]["start_from"] == said


def test_an_exported_model_loses_the_paths_and_nothing_else(run: Path, tmp_path: Path) -> None:
    shared = SharedModel(run / "model.onnx")
    content = shared.content()
    assert b"home of anna" not in content and b"home of anna" in (run / "model.onnx").read_bytes()
    require_own_graph(content)
    (tmp_path / "new.onnx").write_bytes(content)
    before, after = (read_properties(path) for path in (run / "model.onnx", tmp_path / "new.onnx"))
    assert before.keys() == after.keys()
    assert with_property(content, "asr", before["asr"]) == (run / "model.onnx").read_bytes()
    sound = spell("abc", np.random.default_rng(0)).astype(np.float32)
    assert asr.load(tmp_path / "new.onnx").transcribe(sound, RATE) == asr.load(run / "model.onnx").transcribe(
        sound, RATE
    )


def test_a_model_without_such_paths_is_shared_byte_for_byte(tmp_path: Path) -> None:
    fresh_recognizer().save(tmp_path / "m.safetensors")
    assert SharedModel(tmp_path / "m.safetensors").content() == (tmp_path / "m.safetensors").read_bytes()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as server:
        use(server, tmp_path / "cache", monkeypatch)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_push_and_load(run: Path, hub: Hub) -> None:
    done("card", run, *STATED)
    result = done("push", run, "anna/tones", "--onnx", run / "model.onnx")
    (commit,) = hub.repositories["anna/tones"].commits
    address = f"hf://anna/tones@{commit}"
    assert result.stdout == f"{address}\n"
    assert f"next: asr transcribe {address} RECORDING" in result.stderr
    assert TOKEN not in result.stdout + result.stderr
    files = hub.repositories["anna/tones"].commits[commit]
    assert set(files) == {"README.md", "config.yaml", "model.safetensors", "model.onnx"}
    assert all(b"home of anna" not in content for content in files.values())
    assert hub.repositories["anna/tones"].private
    sound = spell("abc", np.random.default_rng(0)).astype(np.float32)
    expected = asr.load(run / "model.safetensors", "cpu").transcribe(sound, RATE)
    assert asr.load(address, "cpu").transcribe(sound, RATE) == expected
    assert asr.transcribe(f"{address}/model.onnx", sound, RATE).text == expected.text


def test_push_refuses_an_exported_file_of_another_model(run: Path, hub: Hub, tmp_path: Path) -> None:
    done("card", run)
    (tmp_path / "other.onnx").write_bytes(to_onnx(fresh_recognizer("xyz")))
    assert "other.onnx: was not exported from" in failure("push", run, "anna/t", "--onnx", tmp_path / "other.onnx")
    assert "was not exported from" in failure("push", run, "anna/t", "--onnx", run / "model.safetensors")
    assert hub.repositories == {}


def test_push_of_an_exported_model_alone(run: Path, hub: Hub) -> None:
    done("card", run / "model.onnx")
    address = done("push", run / "model.onnx", "anna/tones", "--public").stdout.strip()
    assert set(hub.repositories["anna/tones"].files("main")[1]) == {"README.md", "config.yaml", "model.onnx"}  # type: ignore[index]
    assert isinstance(asr.load(address), asr.ExportedRecognizer)
    assert not hub.repositories["anna/tones"].private


@pytest.mark.parametrize("command", [["archive", "-o", "tones.zip"], ["push", "anna/tones"]])
def test_what_a_card_does_not_state_is_said_before_it_is_shared(
    run: Path, hub: Hub, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, *options = command
    done("card", run, "--title", "Tones")
    said = done(name, run, *options).stderr
    assert "licence of the model: not stated; --licence\n" in said and "title: not" not in said


def test_a_card_without_signature_is_said(run: Path, hub: Hub) -> None:
    (run / "README.md").write_text("# My own card\n")
    result = done("push", run, "anna/tones")
    assert "names no signature, so nobody can see which weights it describes" in result.stderr
    assert replace(hub.repositories["anna/tones"]).files("main")[1]["README.md"] == b"# My own card\n"  # type: ignore[index]


@pytest.mark.parametrize(
    ("decoder", "weight", "words"),
    [
        ("ctc", 0.3, "LSTM with CTC"),
        ("attention", 0.3, "LSTM with an attention decoder"),
        ("joint", 0.3, "LSTM with CTC and an attention decoder"),
        ("transducer", 0.3, "LSTM with CTC and a transducer"),
        ("transducer", 0.0, "LSTM with a transducer"),
    ],
)
def test_a_card_names_the_decoder(decoder: str, weight: float, words: str, tmp_path: Path) -> None:
    config = with_data(fresh_recognizer().config, "train.jsonl", "validation.jsonl")
    model = config.model.model_copy(update={"decoder": decoder, "ctc_weight": weight})
    Recognizer(config.model_copy(update={"model": model}), Units("ab ")).save(tmp_path / "model.safetensors")
    done("card", tmp_path)
    assert f"{words}.\n" in card_of(tmp_path)
