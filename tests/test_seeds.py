"""Several seeds: statistics against scipy and against the comparison of two systems; training, kills, refusals."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from conftest import interrupted, train_config
from processes import run_asr

from asr.cli.next_step import after_seeds
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AsrError, TrainingError
from asr.origin import read_origin
from asr.scoring.seeds import Spread, compare_groups, deviation_factors, welch
from asr.scoring.significance import compare
from asr.scoring.tables import Table
from asr.scoring.wer import count_errors, score
from asr.training.seeds import train_on_seeds
from asr.training.train import train


def test_mean_and_deviation_are_those_of_numpy_and_scipy() -> None:
    values = (3.1, 4.4, 2.9)
    spread = Spread(values)
    assert spread.mean == pytest.approx(np.mean(values)) and spread.deviation == pytest.approx(np.std(values, ddof=1))
    assert str(spread) == "3.47 ± 0.81" and str(Spread((3.1,))) == "3.10"
    for seeds in (2, 3, 10):
        low, high = (np.sqrt((seeds - 1) / scipy.stats.chi2.ppf(share, seeds - 1)) for share in (0.975, 0.025))
        assert deviation_factors(seeds) == pytest.approx((low, high))


def test_welch_is_that_of_scipy() -> None:
    generator = np.random.default_rng(0)
    for sizes in ((2, 2), (3, 5), (10, 3)):
        a, b = (generator.normal(5, 1 + size, size).tolist() for size in sizes)
        assert welch(a, b) == pytest.approx(scipy.stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert welch([1.0], [2.0, 3.0]) is None and welch([1.0, 1.0], [2.0, 2.0]) is None


def texts(generator: np.random.Generator, count: int, errors: float) -> tuple[list[str], list[str]]:
    references = [" ".join(generator.choice(list("abc"), 5)) for _ in range(count)]
    wrong = [[word if generator.random() > errors else "x" for word in text.split()] for text in references]
    return references, [" ".join(words) for words in wrong]


@pytest.mark.parametrize("speakers", [None, [f"s{number % 7}" for number in range(40)]])
def test_one_run_each_gives_the_comparison_of_two_systems(speakers: list[str] | None) -> None:
    references, first = texts(np.random.default_rng(0), 40, 0.2)
    second = texts(np.random.default_rng(0), 40, 0.3)[1]
    a, b = (score(references, found) for found in (first, second))
    expected = compare(a, b, speakers)
    counts = [count_errors(one.words) for one in (a, b)]
    errors = [table[:, 1:].sum(axis=1) for table in counts]
    found = compare_groups(errors[:1], errors[1:], counts[0][:, 0], speakers)
    assert (found.points, found.interval) == (pytest.approx(expected.difference), pytest.approx(expected.interval))
    assert (found.probability, found.resampled) == (expected.probability, expected.resampled)
    assert found.p_value is None


def test_groups_are_compared_by_their_means() -> None:
    generator = np.random.default_rng(1)
    items = np.full(50, 10)
    a, b = ([generator.binomial(10, rate, 50) for rate in rates] for rates in ((0.1, 0.15), (0.3, 0.2, 0.25)))
    found, back = compare_groups(a, b, items), compare_groups(b, a, items)
    means = [np.mean([100 * one.sum() / 500 for one in group]) for group in (a, b)]
    assert found.points == pytest.approx(means[1] - means[0]) and back.points == pytest.approx(-found.points)
    assert back.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    assert found.interval[0] < found.points < found.interval[1]
    assert found.probability == pytest.approx(1 - back.probability) and found.p_value == pytest.approx(back.p_value)
    same = compare_groups(a, a, items)
    assert (same.points, same.interval, same.probability, same.differing) == (0, (0, 0), 0.5, 0)
    one = compare_groups([items], [items, np.where(np.arange(50) == 3, 9, items)], items)
    assert one.differing == 1 and compare_groups([items], [items, items], items).differing == 0
    with pytest.raises(AsrError, match="hold no words"):
        compare_groups(a, b, np.zeros(50, int))


class Cells(HTMLParser):
    """The texts of the cells of a table, and all tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.tags[-1] in ("td", "th"):
            self.cells[-1] += data.rstrip("\n")


def test_tables_for_pages_and_papers_escape_names() -> None:
    table = Table("100 % of <b>", ("run", "WER %"), [("a|b_c & <script>", 1.5), ("~^\\{}$#", 20.0)])
    html = Cells()
    html.feed(table.html())
    assert set(html.tags) == {"table", "caption", "tr", "th", "td"}
    assert html.cells == ["run", "WER %", "a|b_c & <script>", "1.50", "~^\\{}$#", "20.00"]
    assert table.markdown().splitlines()[2:5] == [
        "| run | WER % |",
        "| --- | ---: |",
        "| a\\|b\\_c & \\<script\\> | 1.50 |",
    ]
    latex = table.latex().splitlines()
    assert "    a\\textbar{}b\\_c \\& \\textless{}script\\textgreater{} & 1.50 \\\\" in latex
    assert "    \\textasciitilde{}\\textasciicircum{}\\textbackslash{}\\{\\}\\$\\# & 20.00 \\\\" in latex
    assert "  \\caption{100 \\% of \\textless{}b\\textgreater{}}" in latex and "  \\begin{tabular}{lr}" in latex
    assert (
        Table("none", ("run",), []).latex().count("\\\\") == 1 and "| run |" in Table("none", ("run",), []).markdown()
    )


def test_seeds_resume_and_are_those_of_single_runs(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, said, out = train_config(tones, epochs=2, seed=3), list[str](), tmp_path / "seeds"
    with interrupted(monkeypatch, after=3):  # after the first epoch of the second seed
        train_on_seeds(config, out, seeds=2, say=said.append)
    assert not (out / "seed-4" / "model.safetensors").exists()
    before = (out / "seed-3" / "model.safetensors").stat().st_mtime_ns
    assert train_on_seeds(config, out, seeds=2, say=said.append) == [out / "seed-3", out / "seed-4"]
    assert any(line.startswith("seed 3, 1 of 2: is trained already") for line in said)
    assert (out / "seed-3" / "model.safetensors").stat().st_mtime_ns == before
    alone = config.model_copy(update={"training": config.training.model_copy(update={"seed": 4})})
    train(alone, tmp_path / "alone")
    for name in ("model.safetensors", "config.yaml"):
        assert (out / "seed-4" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    hypotheses = [read_manifest(folder / "validation.hyp.jsonl") for folder in (out / "seed-4", tmp_path / "alone")]
    assert [row.extra for row in hypotheses[0]] == [row.extra for row in hypotheses[1]]

    other = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 1})})
    with pytest.raises(TrainingError, match="it has other settings or other data; --overwrite trains it again"):
        train_on_seeds(other, out, seeds=2, say=said.append)
    assert len(train_on_seeds(other, out, seeds=2, say=said.append, overwrite=True)) == 2
    assert len((out / "seed-4" / "log.jsonl").read_text().splitlines()) == 1


def test_changed_data_is_not_taken_for_trained(tones: Path, tmp_path: Path) -> None:
    for name in ("train", "validation"):
        write_manifest(tmp_path / f"{name}.jsonl", read_manifest(tones / f"{name}.jsonl")[:16])
    config = train_config(tmp_path, epochs=1)
    train_on_seeds(config, tmp_path / "seeds", seeds=2, say=lambda line: None)
    origin = read_origin(tmp_path / "seeds" / "seed-1")
    assert origin is not None and origin.continued == () and origin.machine.precision in ("fp32", "bf16")
    rows = read_manifest(tmp_path / "train.jsonl")
    write_manifest(tmp_path / "train.jsonl", [replace(rows[0], text="abcab"), *rows[1:]])
    with pytest.raises(TrainingError, match=r"seed-0/model\.safetensors: is the model of a finished run; it has other"):
        train_on_seeds(config, tmp_path / "seeds", seeds=2, say=lambda line: None)


def test_the_log_and_the_validation_hypotheses_agree(tones: Path, tmp_path: Path) -> None:
    train(train_config(tones, epochs=3), tmp_path)
    rows = read_manifest(tmp_path / "validation.hyp.jsonl")
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = score([row.text or "" for row in rows], [row.extra["hypothesis"] for row in rows])
    assert found.cer.percent == min(row["cer"] for row in log)
    assert rows[0].audio.is_file()


def test_the_next_step_measures_the_test_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = train_config(tmp_path, seed=3)
    (tmp_path / "test.jsonl").write_text("")
    after_seeds(config, Path("runs/x"))
    assert capsys.readouterr().err == f"next: asr receipt runs/x/seed-3 '{tmp_path / 'test.jsonl'}'\n".replace("'", "")


def test_command_and_refusals(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(train_config(tones, epochs=1).to_yaml())
    done = run_asr("train", "words.yaml", "--seeds", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Validation errors" and lines[2].split()[:3] == ["runs/words-seeds", "0,", "1"]
    assert "± is the standard deviation of 2 seeds; with so few, the true one is 0.45 to 31.9" in done.stderr
    assert done.stderr.splitlines()[-1] == "next: asr compare runs/words-seeds --html runs/words-seeds/compare.html"
    for more in (["--budget", "2m"], ["--folds", 2], ["--extend"], ["--dry-run"]):
        refused = run_asr("train", "words.yaml", "--seeds", 2, *more, cwd=tmp_path)
        assert (
            refused.returncode == 1
            and "leave --budget, --extend, --folds, --untranscribed and --dry-run out" in refused.stderr
        )
