"""A comparison of recurrent models on one corpus, with equal numbers of parameters and equal training time.

    python bench/family.py recipes/fsdd/config.yaml --minutes 2 --parameters 500000 [--set training.epochs=8 …]

Each member of the family is a run of `asr train` in runs/family/CORPUS/MEMBER. Its hidden size is chosen to give the
number of parameters, and its epochs to fill the minutes, as timed on real batches. `--set` is passed to all runs. The
program prints one JSON line for each member, and writes a table to runs/family/CORPUS/table.md. `--members` limits the
members. Members that are already trained are not trained again. A member whose training failed, for example because its
loss exploded, has no numbers.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed

from asr.cells import CELLS
from asr.config import Config, ModelConfig
from asr.files import write_whole
from asr.run_log import LOG_FILE, kept_row
from asr.training.budget import epoch_seconds
from asr.training.data import open_data
from asr.training.loop import MODEL_FILE
from asr.training.recognition import RecognitionTask

MEMBERS: dict[str, dict[str, Any]] = {
    **{f"{cell}, two directions": {"cell": cell, "bidirectional": True} for cell in CELLS},
    **{f"{cell}, one direction": {"cell": cell, "bidirectional": False} for cell in CELLS},
    "lstm, two directions, no convolution": {"frontend": "stack"},
    "lstm, two directions, CTC and attention": {"decoder": "joint"},
    "lstm, two directions, attention": {"decoder": "attention"},
    "lstm, two directions, transducer": {"decoder": "transducer"},
    "lstm, two directions, transducer begun from CTC": {"decoder": "transducer"},
}
_BEGUN = " begun from CTC"  # ends the name of a member whose encoder CTC trains in the first half of its time
_HEADER = ("member", "hidden", "M parameters", "epochs", "% CER", "% WER", "hours of audio an hour", "MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0, help="training time for each member (default: 2)")
    parser.add_argument("--parameters", type=int, default=500_000, help="of each member (default: 500000)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting of the configuration"
    )
    parser.add_argument("--members", nargs="+", default=[""], help="ends of the names of members (default: all)")
    arguments = parser.parse_args()
    config = Config.load(arguments.config, arguments.set)
    folder = Path("runs/family") / arguments.config.resolve().parent.name
    rows = []
    for name in MEMBERS:
        if not name.endswith(tuple(arguments.members)):
            continue
        out = folder / name.replace(", ", "-").replace(" ", "-")
        if not (out / MODEL_FILE).exists():
            train_member(arguments, config, name, out)
        rows.append(result(name, out) if (out / MODEL_FILE).exists() else (name, *["stopped"] * (len(_HEADER) - 1)))
        print(json.dumps(dict(zip(_HEADER, rows[-1], strict=True))), flush=True)
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (_HEADER, ["---"] * len(_HEADER), *rows)]
    write_whole(folder / "table.md", "\n".join([*lines, ""]).encode())


def train_member(arguments: argparse.Namespace, config: Config, name: str, out: Path) -> None:
    """Train a member in the time of `--minutes`, which one that is begun from CTC divides into halves."""
    settings, seconds, given = MEMBERS[name], 60 * arguments.minutes, arguments.set
    hidden = hidden_size(config, settings, arguments.parameters)
    if name.endswith(_BEGUN):
        seconds, first = seconds / 2, out.with_name(f"{out.name}-first")
        train(arguments.config, first, [*given, *overrides(config, {"hidden": hidden}, seconds)])
        given = [*given, f"training.start_from={first / MODEL_FILE}"]
    train(arguments.config, out, [*given, *overrides(config, {**settings, "hidden": hidden}, seconds)])


def hidden_size(config: Config, settings: dict[str, Any], parameters: int) -> int:
    """Return the hidden size that gives a member about so many parameters."""
    task, model = open_task(config, settings)
    return min(range(16, 1025, 16), key=lambda size: abs(count(task, with_hidden(model, size)) - parameters))


def overrides(config: Config, settings: dict[str, Any], seconds: float) -> list[str]:
    """Return the overrides that make the settings and the time of a member of the configuration of a recipe."""
    task, _ = open_task(config, settings)
    epochs = max(1, int(seconds / epoch_seconds(task, task.plans()[0], task.module)))
    return [f"model.{key}={value}" for key, value in settings.items()] + [f"training.epochs={epochs}"]


def open_task(config: Config, settings: dict[str, Any]) -> tuple[RecognitionTask, ModelConfig]:
    """Return a task with fresh weights, and the settings of its network."""
    set_seed(config.training.seed)
    model = config.model.model_copy(update=settings)
    data = open_data(config, lambda line: None)
    return RecognitionTask(config.model_copy(update={"model": model}), data, torch.device("cpu")), model


def with_hidden(model: ModelConfig, hidden: int) -> ModelConfig:
    return model.model_copy(update={"hidden": hidden})


def count(task: RecognitionTask, model: ModelConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in task.model.fresh_network(model).parameters())


def train(config: Path, out: Path, settings: list[str]) -> None:
    command = [sys.executable, "-m", "asr", "train", str(config), "--out", str(out)]
    subprocess.run([*command, *(part for setting in settings for part in ("--set", setting))], check=False)


def result(name: str, out: Path) -> tuple[Any, ...]:
    """Return a row of the table, with the validation scores of the kept epoch."""
    log = [json.loads(line) for line in (out / LOG_FILE).read_text(encoding="utf-8").splitlines()]
    config, best = Config.load(out / "config.yaml"), kept_row(log)
    data = open_data(config, lambda line: None)
    task = RecognitionTask(config, data, torch.device("cpu"))
    speed = len(log) * data.training.seconds / log[-1]["seconds"]
    return (
        name,
        config.model.hidden,
        f"{count(task, config.model) / 1e6:.2f}",
        len(log),
        f"{best['cer']:.2f}",
        f"{best['wer']:.2f}",
        round(speed),
        round(max(row["memory_mb"] for row in log)),
    )


if __name__ == "__main__":
    main()
