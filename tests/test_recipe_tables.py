"""Tables of results in the pages: from receipts, from older results, of sets of speakers; the targets behind them."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import REPOSITORY

from asr.config import Config
from asr.receipts.receipt import read_receipt
from asr.receipts.steps import Steps


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe_tables", REPOSITORY / "recipes" / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks there for the types of the annotations
    spec.loader.exec_module(module)
    return module


def test_tables_are_those_of_the_results(tables: ModuleType) -> None:
    results = tables.read_results()
    marks = [kind for page in tables.pages() for _, kind, _ in tables.MARKED.findall(page.read_text(encoding="utf-8"))]
    measured = {name for name, recipe in results.items() if recipe.runs}
    assert set(marks) == {"summary", "index", "unmeasured", *measured}, "each measured recipe has a table in a page"
    for page in tables.pages():
        text = page.read_text(encoding="utf-8")
        assert text == tables.generate(text, results), f"{page}: run `python recipes/tables.py`"


def test_every_recipe_has_results(tables: ModuleType) -> None:
    recipes = {folder.parent.name for folder in (REPOSITORY / "recipes").glob("*/config.yaml")}
    assert recipes <= set(tables.read_results())


def test_tables_are_written_from_counts(tables: ModuleType) -> None:
    scores = [
        {"decoding": "best path", "seed": 0, "wer": "1/8", "interval": "0-40", "parts": {"anna": "1/4", "ben": "0/4"}},
        {"decoding": "best path", "seed": 1, "wer": "2/8"},
    ]
    run = {"command": "make x", "commit": "1234567", "date": "2026-01-02", "model": "small", "current": True}
    recipe = {"speech": "tones", "language": "none", "hours": 1, "licence": "free", "download": "nothing"}
    results = {"x": tables.Recipe.model_validate({**recipe, "runs": [{**run, "scores": scores}]})}
    page = tables.generate("<!-- results: summary -->\nold\n<!-- end of results -->\n", results)
    assert "| `make x` | tones | best path: WER 12.5 to 25.0 % (2 seeds, no receipt) |\n" in page and "old" not in page
    page = tables.generate("<!-- results: x -->\n<!-- end of results -->\n", results)
    assert (
        "| 1 | best path | 0 | 12.50 [1 / 8] | 0-40 | none: older than receipts |" in page
        and "| best path | 25.0 | 0.0 |" in page
    )
    assert "1. small. Commit `1234567` (2026-01-02): `make x`" in page and "CER" not in page
    with pytest.raises(ValueError, match=r"parts add up to 12\.50 \[1 / 8\], the whole is 25\.00"):
        tables.Scores.model_validate({**scores[0], "wer": "2/8"})


def test_a_new_result_needs_a_receipt_or_a_reason(tables: ModuleType) -> None:
    run = {"command": "make x", "commit": "1", "model": "small", "scores": [{"seed": 0, "wer": "1/8"}]}
    assert tables.Run.model_validate({**run, "date": "2026-11-30"}).scores
    with pytest.raises(ValueError, match=r"make x \(2026-12-01\): has no receipt; make one with `make NAME-receipts`"):
        tables.Run.model_validate({**run, "date": "2026-12-01"})
    told = tables.Run.model_validate({**run, "date": "2026-12-01", "without_receipt": "trained on a rented GPU"})
    recipe = {"speech": "tones", "language": "none", "hours": 1, "licence": "free", "download": "nothing"}
    page = tables.recipe_tables(tables.Recipe.model_validate({**recipe, "runs": [told]}))
    assert "| none: trained on a rented GPU |" in page


def test_receipts_replace_older_results_of_the_summary(tables: ModuleType, tmp_path: Path) -> None:
    paths = sorted((REPOSITORY / "recipes/yesno/receipts").glob("*.json"))
    (run,) = tables.runs_of("yesno", paths, REPOSITORY / "recipes/yesno/config.yaml")
    assert run.current and [row.seed for row in run.scores] == list(range(len(paths)))
    old = {"command": "make yesno", "commit": "1", "date": "2026-11-01", "model": "old", "current": True}
    scores = [{"decoding": name, "seed": 0, "wer": "9/240"} for name in ("best path", "language models")]
    recipe = {"speech": "words", "language": "Hebrew", "hours": 1, "licence": "free", "download": "nothing"}
    found = tables.Recipe.model_validate({**recipe, "runs": [run, {**old, "scores": scores}]})
    line = tables.summary(found)
    assert re.fullmatch(r"best path: CER .* WER .* %.*receipts?\); language models: WER 3.8 % .*\(no receipt\)", line)
    config = Config.load(REPOSITORY / "recipes/yesno/config.yaml", ["training.epochs=3", "training.seed=7"])
    assert not tables.follows(config, REPOSITORY / "recipes/yesno/config.yaml")
    config = Config.load(REPOSITORY / "recipes/yesno/config.yaml", ["training.seed=7"])
    assert tables.follows(config, REPOSITORY / "recipes/yesno/config.yaml")


def test_error_rates_of_the_readme_stand_in_generated_tables(tables: ModuleType) -> None:
    """A table of the README that holds an error rate is generated, so its numbers have a receipt or are older."""
    written = tables.MARKED.sub("", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert [line for line in written.splitlines() if re.match(r"\|.*(WER|CER|accuracy|BLEU) \d", line)] == []


# Words with errors of each speaker of FSDD, by models that never had the speaker, as in recipes/results.yaml.
ERRORS = {"george": 140, "jackson": 28, "lucas": 126, "nicolas": 213, "theo": 54, "yweweler": 89}


def write_receipt_of(folder: Path, name: str, errors: int, *, phrases: bool = False) -> None:
    """Write the receipt of a model without one speaker, measured on 500 words of this speaker."""
    receipt = json.loads((REPOSITORY / "recipes/fsdd/receipts/seed-0.json").read_text())
    data, config = [[f"data/fsdd/without-{name}.{split}.jsonl"] for split in ("train", "validation")], receipt["config"]
    config["data"] |= dict(zip(("train", "validation"), data, strict=True))
    config["features"]["equalize"], config["training"]["epochs"] = True, 12
    config["model"]["dropout_mask"] = "utterance"
    receipt |= {"test": f"data/fsdd/{name}.jsonl", "decoding": "phrases" if phrases else "best path"}
    receipt |= {"phrases": "digits.txt", "files": {"phrases": "a" * 64}} if phrases else {}
    for rate in receipt["result"]["rates"].values():
        rate |= {"errors": errors, "total": 500}
    steps = Steps("fsdd", "recognition", data[0], data[1], *map(receipt.get, ("test", "decoding", "phrases")))
    (folder / f"{name}{'.phrases' * phrases}.json").write_text(json.dumps({**receipt, "commands": steps.told()}))


def test_receipts_of_a_set_of_speakers_are_added_up(tables: ModuleType, tmp_path: Path) -> None:
    recipe = tables.read_results()["fsdd-speakers"]
    for name, errors in ERRORS.items():
        write_receipt_of(tmp_path, name, errors)
        write_receipt_of(tmp_path, name, errors // 2, phrases=True)

    def runs() -> Any:
        paths = sorted(tmp_path.glob("*.json"))
        return tables.runs_of("fsdd-speakers", paths, REPOSITORY / "recipes/fsdd/config.yaml", recipe.settings)

    (run,) = runs()
    assert run.current and [row.decoding for row in run.scores] == ["best path", "phrases"]
    best = run.scores[0]
    assert (str(best.wer), best.interval) == ("21.67 [650 / 3000]", "12.63-31.90"), "that of asr score over speakers"
    assert {name: part.part for name, part in best.parts.items()} == ERRORS
    assert best.receipts["theo"] == "../fsdd-speakers/receipts/theo.json"
    line = tables.summary(recipe.model_copy(update={"runs": [run]}))
    assert line.startswith("best path: CER 21.7 % [650 / 3000], WER 21.7 % [650 / 3000] (receipts); phrases: ")
    assert "| best path | 28.0 | 5.6 | 25.2 | 42.6 | 10.8 | 17.8 |" in tables.recipe_tables(
        recipe.model_copy(update={"runs": [run]})
    )
    (tmp_path / "theo.phrases.json").unlink()
    with pytest.raises(ValueError, match="receipts of each seed and decoding must have equal test"):
        runs()


def test_settings_of_a_result_are_those_of_its_training(tables: ModuleType) -> None:
    """A result on another recipe's configuration is current if its training has the settings of recipe.mk."""
    for recipe in tables.read_results().values():
        made = (REPOSITORY / "recipes" / recipe.page / "recipe.mk").read_text() if recipe.settings else ""
        assert all(f"--set {setting}" in made for setting in recipe.settings)


def test_translations_and_classes_have_their_own_columns(tables: ModuleType, tmp_path: Path) -> None:
    receipt = read_receipt(REPOSITORY / "recipes/fsdd/receipts/seed-0.json")
    scores = {name: {"value": value, "signature": "s"} for name, value in (("bleu", 2.0), ("chrf", 15.4))}
    result = receipt.result.model_dump() | {"scores": scores}
    config = {**receipt.config, "model": {**receipt.config["model"], "decoder": "attention"}}
    told = receipt.model_copy(update={"bleu": True, "config": config, "result": type(receipt.result)(**result)})
    row = tables._scores(tmp_path / "x.json", told, "")
    assert (row.decoding, row.bleu, row.chrf, row.cer, row.wer, row.interval) == ("attention", 2.0, 15.4, *[None] * 3)
    rate = {"errors": 5, "total": 300, "interval": (0.5, 3.0), "over": "6 speakers"}
    result = receipt.result.model_dump() | {"rates": {"error_rate": rate}, "validation": {"error_rate": 0.75}}
    config = {**receipt.config, "task": "classification"}
    told = receipt.model_copy(update={"config": config, "result": type(receipt.result)(**result)})
    row = tables._scores(tmp_path / "x.json", told, "")
    assert (str(row.accuracy), row.validation_accuracy, row.interval) == ("98.33 [295 / 300]", 99.25, "97.00-99.50")


def test_every_result_has_a_target_that_makes_its_receipts(tables: ModuleType) -> None:
    uncovered = {"fsdd-speakers-adapted"}  # trained with --untranscribed, which receipts do not cover
    results = tables.read_results()
    assert all("--untranscribed" in run.without_receipt for name in uncovered for run in results[name].runs)
    names = [name for name in results if name not in uncovered]
    done = subprocess.run(
        ["make", "-n", *(f"{name}-receipts" for name in names)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in names:
        assert re.search(rf"asr receipt \S+ data/\S+\.jsonl .*-o recipes/{name}/receipts/\S+\.json", done.stdout), name
    wanted = {
        "data/fsdd/theo.jsonl --phrases recipes/fsdd/digits.txt -o recipes/fsdd-speakers/receipts/theo.phrases.json",
        "runs/cherokee-seeds/seed-*; do mkdir -p recipes/cherokee-speakers/receipts;",
        'receipt "$run" data/cherokee/speakers.jsonl -o recipes/cherokee-speakers/receipts/${run##*/}.json',
        'receipt "$run" data/mboshi/test.jsonl --bleu -o recipes/mboshi-translation/receipts/${run##*/}.json',
        'receipt "$run" data/fsdd/test.jsonl -o recipes/fsdd-words/receipts/${run##*/}.json',
        'receipt "$run" data/prompts/test.jsonl --by language --lm -o recipes/prompts/receipts/${run##*/}.lm.json',
    }
    printed = re.sub(" +", " ", done.stdout)
    assert [line for line in wanted if line not in printed] == []
