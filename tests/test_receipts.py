"""Receipts: made, verified, and hostile; origins of runs; the receipts of the recipes."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from conftest import REPOSITORY, interrupted, train_config
from processes import run_asr
from typer.testing import CliRunner

from asr.cli import app
from asr.config import Config
from asr.corpus.digest import corpus_digest
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AsrError
from asr.model_file import signature
from asr.origin import Machine, Origin, Program, read_origin, write_origin
from asr.receipts.measure import make_receipt
from asr.receipts.receipt import Quality, Rate, Receipt, Result, read_receipt, write_receipt
from asr.receipts.steps import Decoding, Steps, preparation, recipe_of
from asr.receipts.verify import Verification, differences, judge, verify
from asr.scoring.files import pair_files, score_pairs
from asr.text import Normalizer
from asr.training.train import train

RECEIPTS = sorted((REPOSITORY / "recipes").glob("*/receipts/*.json"))


def executed(step: Sequence[str]) -> None:
    done = run_asr(*step)
    if done.returncode:
        raise AsrError(done.stderr)


@pytest.fixture(scope="module")
def made(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data, a run of it, and the receipt of the run."""
    folder = tmp_path_factory.mktemp("receipts")
    for name, manifest, count in (("train", "train", 96), ("validation", "validation", 16), ("test", "train", 20)):
        write_manifest(folder / "data" / f"{name}.jsonl", read_manifest(tones / f"{manifest}.jsonl")[:count])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(train_config(Path("data"), epochs=3), "run")
        receipt = make_receipt(
            Path("run"), Path("data/test.jsonl"), decoding="best path", execute=executed, say=lambda line: None
        )
        write_receipt(Path("receipt.json"), receipt)
    return folder


@pytest.fixture
def changed(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the receipt with other values of some fields, `a.b=value`."""
    tree = json.loads((made / "receipt.json").read_text())

    def change(values: dict[str, Any]) -> Path:
        for name, value in values.items():
            *path, last = name.split("/")
            place = tree
            for part in path:
                place = place[part]
            place[last] = value
        (tmp_path / "changed.json").write_text(json.dumps(tree))
        return tmp_path / "changed.json"

    return change


def test_a_receipt_states_what_score_states(made: Path) -> None:
    receipt = read_receipt(made / "receipt.json")
    pairs = pair_files(made / "data" / "test.jsonl", made / "run" / "test.hyp.jsonl", Normalizer())
    found = score_pairs(pairs)
    for name, rate in (("cer", found.cer), ("wer", found.wer)):
        stated = receipt.result.rates[name]
        assert (stated.errors, stated.total, stated.over) == (rate.errors, rate.total, rate.resampled)
        assert stated.interval == tuple(round(bound, 2) for bound in rate.interval)
    assert receipt.result.weights == signature(made / "run" / "model.safetensors")
    assert receipt.data["test"] == corpus_digest([made / "data" / "test.jsonl"])
    assert receipt.commands == (
        "asr train CONFIG --out RUN",
        "asr transcribe RUN/model.safetensors data/test.jsonl -o RUN/test.hyp.jsonl",
        "asr score --config RUN/config.yaml data/test.jsonl RUN/test.hyp.jsonl",
    )
    assert str(made) not in (made / "receipt.json").read_text(), "a receipt names no folder of this machine"
    assert receipt.settings() == Config.load(made / "run" / "config.yaml")


def test_verify_measures_again(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    said: list[str] = []
    ran: list[str] = []

    def execute(step: Sequence[str]) -> None:
        ran.append(step[0])
        executed(step)

    receipt = read_receipt(Path("receipt.json"))
    found = verify(receipt, tmp_path, execute=execute, prepare=pytest.fail, say=said.append)
    assert ran == ["train", "transcribe"] and said == []
    assert found.verdict == "equal" and found.lines()[-1] == "equal: equal weights, equal hypotheses"
    assert found.found == found.receipt.result
    assert sorted(path.name for path in made.iterdir()) == ["data", "receipt.json", "run"]
    again = verify(receipt, tmp_path, execute=execute, prepare=pytest.fail, say=said.append)
    assert ran == ["train", "transcribe", "transcribe"] and again.found == found.found, "a model is trained once"
    assert said == ["the model of this receipt is already trained, for another receipt"]


def test_language_models_are_steps_of_their_own(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    ran: list[str] = []

    def execute(step: Sequence[str]) -> None:
        ran.append(" ".join(step))
        executed(step)

    test = Path("data/test.jsonl")
    receipt = make_receipt(Path("run"), test, decoding="language models", execute=execute, say=print)
    assert ran == [
        "tune run/model.safetensors data/validation.jsonl --lm-text data/train.jsonl -o run/model.lm.safetensors",
        "transcribe run/model.lm.safetensors data/test.jsonl -o run/test.lm.hyp.jsonl",
    ]
    assert [f"asr {step}".replace("run/", "RUN/") for step in ran] == list(receipt.commands[1:3])
    found = score_pairs(pair_files(test, Path("run/test.lm.hyp.jsonl"), Normalizer())).wer
    assert receipt.result.rates["wer"].errors == found.errors


def test_phrases_translations_and_parts(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receipt holds the file of phrases by its digest, BLEU and chrF of sacreBLEU, and the WER of each speaker."""
    monkeypatch.chdir(made)
    rows = read_manifest(Path("data/test.jsonl"))
    write_manifest(Path("data/two.jsonl"), [replace(u, speaker=("anna", "ben")[i % 2]) for i, u in enumerate(rows)])
    phrases, two = Path("phrases.txt"), Path("data/two.jsonl")
    phrases.write_text("".join(f"{text}\n" for text in sorted({u.text or "" for u in rows})))

    def make(decoding: Decoding = "phrases", file: Path | None = phrases, by: str = "speaker") -> Receipt:
        return make_receipt(
            Path("run"), two, decoding=decoding, phrases=file, bleu=True, by=by, execute=executed, say=print
        )

    receipt = make()
    assert receipt.files == {"phrases": hashlib.sha256(phrases.read_bytes()).hexdigest()}
    assert receipt.commands[1:] == (
        "asr transcribe RUN/model.safetensors data/two.jsonl --phrases phrases.txt -o RUN/two.phrases.hyp.jsonl",
        "asr score --bleu --by speaker --config RUN/config.yaml data/two.jsonl RUN/two.phrases.hyp.jsonl",
    )
    found = read_manifest(Path("run/two.phrases.hyp.jsonl"))
    texts = [str(row.extra["hypothesis"]) for row in found]
    bleu = sacrebleu.corpus_bleu(texts, [[row.text or "" for row in found]])
    assert receipt.result.scores["bleu"].value == pytest.approx(bleu.score, abs=1e-4)
    assert receipt.result.scores["bleu"].signature.startswith("nrefs:1|case:mixed")
    parts = receipt.result.parts
    assert list(parts) == ["anna", "ben"]
    for name in ("errors", "total"):
        assert sum(getattr(part, name) for part in parts.values()) == getattr(receipt.result.rates["wer"], name)
    write_receipt(tmp_path / "receipt.json", receipt)
    assert read_receipt(tmp_path / "receipt.json") == receipt

    again = verify(receipt, tmp_path, execute=executed, prepare=pytest.fail, say=print)
    assert again.verdict == "equal" and again.lines()[2].startswith("BLEU ")
    phrases.write_text("abc\n")
    with pytest.raises(AsrError, match=r"^phrases: other recordings or texts than those of the receipt"):
        verify(receipt, tmp_path, execute=pytest.fail, prepare=pytest.fail, say=print)
    phrases.unlink()
    with pytest.raises(AsrError, match=r"phrases\.txt: no such file of phrases"):
        make()
    with pytest.raises(AsrError, match="--by place: not every line of the references has a field place"):
        make("best path", None, "place")
    two.unlink()


def test_a_classifier_has_a_receipt_of_its_error_rate(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train", "validation"):
        rows = read_manifest(tones / f"{name}.jsonl")
        write_manifest(
            Path(f"{name}.jsonl"), [replace(u, text="long" if len(u.text or "") > 3 else "short") for u in rows]
        )
    train(train_config(Path(), epochs=1).model_copy(update={"task": "classification"}), "run")
    receipt = make_receipt(
        Path("run"), Path("validation.jsonl"), decoding="best path", execute=executed, say=lambda line: None
    )
    rows = read_manifest("run/validation.hyp.jsonl")
    rate = receipt.result.rates["error_rate"]
    assert (rate.errors, rate.total) == (sum(row.text != row.extra["hypothesis"] for row in rows), len(rows))
    assert rate.percent == pytest.approx(receipt.result.validation["error_rate"], abs=1e-3)
    assert rate.interval[0] <= rate.percent <= rate.interval[1]
    assert receipt.commands[1] == "asr classify RUN/model.safetensors validation.jsonl -o RUN/validation.hyp.jsonl"
    with pytest.raises(AsrError, match="--phrases, --bleu, --by: are for recognisers; leave them out"):
        make_receipt(
            Path("run"), Path("validation.jsonl"), decoding="best path", bleu=True, execute=pytest.fail, say=print
        )
    with pytest.raises(AsrError, match="--lm: is for recognisers with one validation manifest"):
        make_receipt(Path("run"), Path("validation.jsonl"), decoding="language models", execute=pytest.fail, say=print)


def test_other_data_is_named_before_anything_is_trained(
    made: Path, changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    receipt = read_receipt(changed({"data/train": "a" * 64, "data/test": "b" * 64}))
    with pytest.raises(AsrError, match="train and test: other recordings or texts than those of the receipt, so noth"):
        verify(receipt, tmp_path, execute=pytest.fail, prepare=pytest.fail, say=print)
    receipt = read_receipt(changed({"config/text/units_file": "units.txt"}))
    Path("units.txt").write_text("a\n")
    with pytest.raises(AsrError, match=r"text\.units_file: other recordings"):
        verify(receipt, tmp_path, execute=pytest.fail, prepare=pytest.fail, say=print)
    Path("units.txt").unlink()
    monkeypatch.chdir(made / "run")
    with pytest.raises(AsrError, match=r"data/train\.jsonl: no such manifest; run the command in the folder that has"):
        verify(read_receipt(made / "receipt.json"), tmp_path, execute=pytest.fail, prepare=pytest.fail, say=print)


def test_missing_data_of_a_recipe_is_prepared_by_the_program_of_this_checkout(
    changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(
        "yesno", "recognition", ["data/train.jsonl"], ["data/validation.jsonl"], "data/test.jsonl", "best path"
    )
    receipt = read_receipt(changed({"recipe": "yesno", "commands": steps.told()}))
    prepared: list[Path] = []
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AsrError, match="no such manifest"):
        verify(receipt, tmp_path, execute=pytest.fail, prepare=prepared.append, say=lambda line: None)
    assert prepared == [REPOSITORY / "recipes" / "yesno" / "prepare.py"]
    assert recipe_of("data/yesno/test.jsonl") == "yesno" and recipe_of("data/mine/test.jsonl") is None
    assert recipe_of("/data/yesno/test.jsonl") is None and recipe_of("data/../test.jsonl") is None
    with pytest.raises(AsrError, match=r"recipe mine: .* has no mine/prepare\.py; run the program from a clone"):
        preparation("mine")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"receipt": 2}, "receipt Input should be 1"),
        ({"test": "--overwrite"}, "--overwrite: is no manifest of this machine"),
        ({"test": "-"}, "-: is no manifest"),
        ({"test": "https://host/test.jsonl"}, "is no manifest of this machine"),
        ({"test": "data/"}, "is no manifest"),
        ({"test": "data/te\nst.jsonl"}, "test String should match pattern"),
        ({"test": "data/other.jsonl"}, "commands: are not those that its fields give, which are: asr train CONFIG"),
        ({"commands": ["rm -r /"]}, "commands: are not those that its fields give"),
        ({"recipe": "../../tmp"}, "recipe String should match pattern"),
        ({"recipe": "yesno; rm"}, "recipe String should match pattern"),
        ({"decoding": "magic"}, "decoding Input should be"),
        ({"decoding": "phrases"}, "phrases: the decoding, the file of phrases and its digest go together"),
        ({"phrases": "digits.txt"}, "phrases: the decoding, the file of phrases and its digest go together"),
        ({"files/phrases": "a" * 64}, "phrases: the decoding, the file of phrases and its digest go together"),
        ({"phrases": "--overwrite"}, "phrases: --overwrite is no file of this machine"),
        ({"phrases": "https://host/p.txt"}, "phrases: https://host/p.txt is no file of this machine"),
        ({"bleu": True}, "result: bleu goes with result.scores, by with result.parts"),
        ({"by": "speaker"}, "result: bleu goes with result.scores, by with result.parts"),
        ({"result/scores": {"bleu": {"value": 150.0, "signature": ""}}}, "less than or equal to 101"),
        ({"config/data/train": ["-o.jsonl"]}, "-o.jsonl: is no manifest"),
        ({"config/data/validation": "s3://bucket/v.jsonl"}, "is no manifest of this machine"),
        ({"config/data/stream": True}, "data.stream: streamed data has no digest"),
        ({"config/training/trackers": ["wandb"]}, "training.trackers: a receipt reports to no tracker"),
        ({"config/training/budget_minutes": 5.0}, "training.budget_minutes: what a time budget gives depends"),
        ({"config/training/epochs": -1}, "config: training.epochs must be at least 1"),
        ({"config/training/shell": "sh"}, "config: training.shell is not a setting"),
        ({"result/rates/wer/errors": "3"}, "result.rates.wer.errors Input should be a valid integer"),
        ({"result/rates/wer/total": 0}, "total Input should be greater than 0"),
        ({"result/rates": {}}, "result.rates"),
        ({"config/task": "classification"}, "result.rates: must be error_rate, the rates of classification"),
        ({"result/weights": "x"}, "result.weights String should match pattern"),
        ({"machine/threads": 10**9}, "machine.threads"),
        ({"more": 1}, "more Extra inputs are not permitted"),
    ],
)
def test_hostile_receipts_are_refused(changed: Callable[..., Path], values: dict[str, Any], message: str) -> None:
    path = changed(values)
    with pytest.raises(AsrError) as error:
        read_receipt(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


def test_files_that_are_no_receipts(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(AsrError, match=r"x\.json: no such receipt; `asr receipt RUN TEST -o FILE` makes one"):
        read_receipt(path)
    for content in ("", "{", "[]", "null", "[" * 1000, "{}"):
        path.write_text(content)
        with pytest.raises(AsrError, match=r"x\.json: is no receipt of this version"):
            read_receipt(path)
    path.write_text(" " * 300_000)
    with pytest.raises(AsrError, match=r"x\.json: has more than 200 kB, and is no receipt"):
        read_receipt(path)


def result(errors: int, total: int = 240, bleu: float | None = None, **parts: int) -> Result:
    def rate(count: int) -> Rate:
        return Rate(errors=count, total=total, interval=(0.0, 2.0), over="30 utterances")

    return Result(
        rates={"wer": rate(errors)},
        scores={} if bleu is None else {"bleu": Quality(value=bleu, signature="nrefs:1")},
        parts={name: rate(count) for name, count in parts.items()},
        validation={},
        weights="a" * 64,
        hypotheses=f"{errors:064x}",
    )


def test_verdicts(made: Path) -> None:
    receipt = read_receipt(made / "receipt.json")
    assert judge(result(3), result(3)) == "equal" and judge(result(3), result(4)) == "different"
    assert judge(result(3000, 10000), result(3004, 10000)) == "equal within rounding"
    assert judge(result(3000, 10000), result(3006, 10000)) == "different"
    assert judge(result(3, bleu=1.23), result(3, bleu=1.23)) == "equal"
    assert judge(result(3, bleu=1.23), result(3, bleu=1.24)) == "equal within rounding"
    assert judge(result(3, bleu=1.23), result(3, bleu=1.31)) == "different"
    assert judge(result(3, anna=1, ben=2), result(3, anna=2, ben=1)) == "different"
    assert judge(result(3, anna=3), result(3, ben=3)) == "different"
    translated = receipt.model_copy(update={"result": result(3, bleu=1.23)})
    assert Verification(translated, result(3, bleu=1.0), "different").lines() == [
        "WER 1.25 % [3 / 240]; now 1.25 % [3 / 240]",
        "BLEU 1.23; now 1.00",
        "different: the new WER is inside the 95 % interval of the receipt, 0.00-2.00; the new BLEU differs by -0.23",
    ]
    lines = Verification(receipt.model_copy(update={"result": result(3)}), result(4), "different").lines()
    assert lines == [
        "WER 1.25 % [3 / 240]; now 1.67 % [4 / 240]",
        "different: the new WER is inside the 95 % interval of the receipt, 0.00-2.00",
    ]
    lines = Verification(receipt.model_copy(update={"result": result(3)}), result(9), "different").lines()
    assert lines[1] == "different: the new WER is outside the 95 % interval of the receipt, 0.00-2.00"
    same = receipt.model_copy(update={"result": result(3)})
    elsewhere = Verification(same, result(9), "different", ("processor", "precision")).lines()
    assert elsewhere[-1].endswith("; other than in the receipt, which may be why: processor, precision")


def test_other_programs_and_machines_are_named() -> None:
    program = Program(git_commit="1234567", versions={"torch": "2"})
    machine = Machine(system="Linux", processor="p", threads=1, device="cpu", processes=1, precision="fp32")
    assert differences(program, machine, program, machine) == {}
    now = program.model_copy(update={"git_commit": None}), machine.model_copy(update={"precision": "bf16"})
    assert differences(program, machine, *now) == {
        "commit": "commit: the receipt has 1234567, now None; the result may differ",
        "precision": "precision: the receipt has fp32, now bf16; the result may differ",
    }


def origin_of(run: Path, **changes: object) -> Origin:
    origin = read_origin(run)
    assert origin is not None
    return origin.model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"continued": ("extended after its first end",)}, "was extended after its first end, so no single command"),
        (
            {"data": {"train": "a" * 64, "validation": "a" * 64}},
            "its train and validation changed since it was trained",
        ),
        ({"files": {"data.exclude": "a" * 64}}, "its data.exclude changed since it was trained; train again"),
    ],
)
def test_runs_that_cannot_be_repeated_get_no_receipt(
    made: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(made)
    before = origin_of(Path("run"))
    write_origin(Path("run"), origin_of(Path("run"), **changes))
    try:
        with pytest.raises(AsrError, match=message):
            receipt_of(Path("run"))
    finally:
        write_origin(Path("run"), before)


def receipt_of(run: Path) -> Receipt:
    return make_receipt(run, Path("data/test.jsonl"), decoding="best path", execute=pytest.fail, say=print)


def test_runs_of_other_machines_and_without_origin_get_no_receipt(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    before = origin_of(Path("run"))
    elsewhere = {"processes": 2}, {"processor": "another one"}
    try:
        for change, message in zip(elsewhere, ("by 2 processes", "make the receipt there, not on"), strict=True):
            write_origin(Path("run"), origin_of(Path("run"), machine=before.machine.model_copy(update=change)))
            with pytest.raises(AsrError, match=message):
                receipt_of(Path("run"))
            write_origin(Path("run"), before)
        Path("run/origin.json").unlink()
        with pytest.raises(AsrError, match="did not record data, program and machine; train again"):
            receipt_of(Path("run"))
    finally:
        write_origin(Path("run"), before)
    with pytest.raises(AsrError, match="data: is no finished run"):
        receipt_of(Path("data"))
    Path("data/test.txt").write_bytes(Path("data/test.jsonl").read_bytes())
    with pytest.raises(AsrError, match=r"run: .*data/test\.txt: is no manifest of this machine: \.jsonl"):
        make_receipt(Path("run"), Path("data/test.txt"), decoding="best path", execute=pytest.fail, say=print)
    Path("data/test.txt").unlink()


def test_a_run_that_is_continued_elsewhere_or_extended_says_so(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = train_config(tones, epochs=2)
    with interrupted(monkeypatch, after=1):
        train(config, tmp_path)
    first = origin_of(tmp_path)
    other = first.machine.model_copy(update={"processor": "another one"})
    write_origin(tmp_path, first.model_copy(update={"machine": other}))
    train(config, tmp_path)
    continued = origin_of(tmp_path)
    assert continued.machine == other and continued.continued == (f"continued on {first.machine.processor}",)
    more = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 3})})
    train(more, tmp_path, extend=True)
    assert origin_of(tmp_path).continued[-1] == "extended after its first end"
    train(config, tmp_path, overwrite=True)
    assert origin_of(tmp_path) == first


def test_digests_follow_content_not_places(tones: Path, tmp_path: Path) -> None:
    rows = read_manifest(tones / "validation.jsonl")
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    moved = []
    for row in rows:
        (copy / row.audio.name).write_bytes(row.audio.read_bytes())
        moved.append(replace(row, audio=copy / row.audio.name))
    write_manifest(copy / "v.jsonl", moved)
    digest = corpus_digest([tones / "validation.jsonl"])
    assert corpus_digest([copy / "v.jsonl"]) == digest
    moved[0].audio.write_bytes(rows[1].audio.read_bytes())
    assert corpus_digest([copy / "v.jsonl"]) != digest
    for change in ({"text": "b"}, {"offset": 0.01}, {"duration": 0.5}, {"speaker": "x"}, {"id": "y"}):
        write_manifest(copy / "v.jsonl", [replace(rows[0], **change), *rows[1:]])
        assert corpus_digest([copy / "v.jsonl"]) != digest
    assert corpus_digest(["https://host/v.jsonl"]) is None


@pytest.mark.parametrize("path", RECEIPTS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_receipts_of_recipes(path: Path) -> None:
    receipt = read_receipt(path)
    recipe = path.parent.parent
    if (recipe / "prepare.py").is_file():
        assert receipt.recipe == recipe.name, "a recipe is measured on its own data"
    assert receipt.recipe == recipe_of(receipt.test) and receipt.date <= date.today()
    assert receipt.program.git_commit and not receipt.program.git_commit.endswith("-dirty")
    assert receipt.test.startswith("data/"), "a path of another machine"


def test_the_commands(made: Path, changed: Callable[..., Path]) -> None:
    done = run_asr("receipt", "run", "data/test.jsonl", "-o", "second.json", cwd=made)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "next: asr verify second.json"
    first, second = (read_receipt(made / name) for name in ("receipt.json", "second.json"))
    assert second.result == first.result and done.stdout.splitlines()[1] == f"WER {first.result.rates['wer']}"
    (made / "second.json").unlink()
    stated = first.result.rates["wer"]
    path = changed({"result/rates/wer/errors": stated.errors + 1})
    (made / "none.json").write_text("{}")
    verified = run_asr("verify", "none.json", path, cwd=made)  # a receipt that cannot be read does not stop the others
    assert verified.returncode == 1, verified.stderr
    (made / "none.json").unlink()
    assert verified.stderr.startswith("asr: none.json: is no receipt of this version")
    assert verified.stdout.splitlines()[-1].startswith(f"{path}: different: the new CER is inside the 95 % interval")
    assert verified.stderr.splitlines()[-1] == (
        f"asr: {path}: measured again with another result; none.json: not verified, for the reasons above"
    )
    failed = run_asr("receipt", "run", "data/test.jsonl", "--lm", "--phrases", "p.txt", cwd=made)
    assert failed.returncode == 1 and "--lm, --phrases: are two ways to decode" in failed.stderr
    failed = run_asr("receipt", "data", "data/test.jsonl", cwd=made)
    assert failed.returncode == 1 and "is no finished run" in failed.stderr


def test_no_other_file_is_replaced_by_a_receipt(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    for output, message in (
        ("run/model.safetensors", "run/model.safetensors: would be written as JSON; name it NAME.json"),
        ("data/test.jsonl", "data/test.jsonl: would be written as JSON"),
        ("run/origin.json", "it is not replaced: name another file with -o"),
    ):
        before = Path(output).read_bytes()
        done = CliRunner().invoke(app, ["receipt", "run", "data/test.jsonl", "-o", output])
        assert message in str(done.exception) and Path(output).read_bytes() == before
    done = CliRunner().invoke(app, ["receipt", "no-run", "data/test.jsonl"])
    assert "no-run: no such folder" in str(done.exception) and not Path("no-run").exists()


def test_a_test_set_that_was_trained_on_is_told(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    said: list[str] = []
    make_receipt(Path("run"), Path("data/test.jsonl"), decoding="best path", execute=lambda step: None, say=said.append)
    (line,) = [line for line in said if "of its utterances" in line]
    assert line.startswith("warning: data/test.jsonl: 20 of its utterances are training data; ")
    manifest = Path("data/validation.jsonl")
    make_receipt(Path("run"), manifest, decoding="best path", execute=lambda step: None, say=said.append)
    assert any("validation.jsonl: 16 of its utterances are validation data" in line for line in said)
