"""Training on prepared material: started, stopped and continued as `asr train`, one at a time.

The training is a process of its own session. What is known of it is read from files, so it outlives the service.
"""

import json
import os
import re
import signal
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from asr.errors import AsrError, OutputError
from asr.files import read_text, to_json, write_whole
from asr.model_file import MODEL_FILE
from asr.run_log import Row, read_log
from asr.serving.workspace import commands
from asr.serving.workspace.lock import locked
from asr.serving.workspace.paths import TakenError, Workspace

State = Literal["none", "running", "stopped", "finished", "failed"]
DATA, MODELS = "training", "models"  # folders with what is trained on, and with the runs
_STATE, _OUTPUT, _LOG = "training.json", "output.txt", "log.jsonl"
_NAME = re.compile(r"model-[0-9]{1,6}")
_BUDGET = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?[smh]")
_EPOCH = re.compile(r"^epoch +([0-9]+)/([0-9]+) ", re.MULTILINE)
_SHOWN = 40  # last lines of the output that are shown
_TAIL = 2**16  # bytes of the output that are read for them


@dataclass(frozen=True, slots=True)
class Run:
    """A training that was begun: its name, the options of its command, and its process.

    `born` is the time at which the process began, so that no other process with its number is taken for it.
    """

    name: str
    budget: str | None = None
    epochs: int | None = None
    start: str | None = None  # model file whose weights it began with
    pid: int = 0
    born: float = 0.0
    asked_to_stop: bool = False
    said: int = 0  # bytes of the output before the process began


def begin(
    workspace: Workspace,
    *,
    budget: str | None = None,
    epochs: int | None = None,
    start: Path | None = None,
    taken: Collection[str] = (),
) -> None:
    """Train on what was prepared last. Raises TakenError if a training runs, AsrError for what cannot be trained."""
    if budget is not None and not _BUDGET.fullmatch(budget):
        raise AsrError(f"budget={budget[:20]!r}: must be a time with a unit: 90s, 20m or 2h")
    if budget is not None and epochs is not None:
        raise AsrError("give a budget of time or a number of epochs, not both")
    if start is not None and start.suffix == ".onnx":
        raise AsrError(
            f"{start.name}: is an exported model, which cannot be trained further; start from its model file"
        )
    with locked(workspace):
        _require_idle(workspace)
        name = next_name(workspace, taken)
        if not has_splits(workspace.root / DATA / name):
            raise AsrError("look at the data first: nothing is prepared for the next training")
        _start(workspace, Run(name, budget, epochs, None if start is None else str(start)))


def resume(workspace: Workspace) -> None:
    """Continue the training that stopped, by the same command. Raises TakenError if there is none, or if one runs."""
    with locked(workspace):
        _require_idle(workspace)
        run = last_run(workspace)
        if run is None or state_of(workspace, run) not in ("stopped", "failed"):
            raise TakenError("there is no training that stopped; begin a new one")
        _start(workspace, replace(run, asked_to_stop=False))


def stop(workspace: Workspace) -> None:
    """Interrupt the training as Ctrl-C does; it saves and ends within a batch. Raises TakenError if none runs."""
    with locked(workspace):
        run = last_run(workspace)
        process = None if run is None else _process(run)
        if run is None or process is None:
            raise TakenError("no training is running")
        _write_state(workspace, replace(run, asked_to_stop=True))
        with suppress(psutil.NoSuchProcess):
            for one in (*process.children(recursive=True), process):  # all get it, as from a terminal
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGINT)


def last_run(workspace: Workspace) -> Run | None:
    """Return the training that was begun last, or None; a damaged file of its state counts as none."""
    try:
        row = json.loads(read_text(workspace.hidden(_STATE)))
        run = Run(**row)
        types = (str, str | None, int | None, str | None, int, int | float, bool, int)
        is_sound = all(isinstance(value, kind) for value, kind in zip(asdict(run).values(), types, strict=True))
        is_sound = is_sound and _NAME.fullmatch(run.name) is not None
        return run if is_sound and (run.budget is None or _BUDGET.fullmatch(run.budget)) else None
    except (AsrError, ValueError, TypeError):
        return None


def state_of(workspace: Workspace, run: Run | None) -> State:
    """Return what became of a training: by its process and the files that it left."""
    if run is None:
        return "none"
    if _process(run) is not None:
        return "running"
    folder = workspace.root / MODELS / run.name
    if (folder / MODEL_FILE).is_file() and not any(folder.glob("checkpoint-*.pt")):
        return "finished"
    return "failed" if not run.asked_to_stop and error_of(workspace, run) else "stopped"


def error_of(workspace: Workspace, run: Run) -> str | None:
    """Return the error with which a training ended, in words, or None: it was interrupted, or all is well."""
    output = _tail(workspace, run)
    if (begin := f"\n{output}".rfind("\nasr: ")) >= 0:
        error = output[begin + len("asr: ") :].strip()
        return None if error == "interrupted" else error
    if "Traceback (most recent call last)" in output:
        return f"the training ended by a bug: {output.strip().splitlines()[-1]}"
    return None


def report(workspace: Workspace) -> dict[str, Any]:
    """Return the state of the training, its log and its last lines, as the page shows them."""
    run = last_run(workspace)
    state = state_of(workspace, run)
    if run is None:
        return _shown(state, None, [], "", None)
    output = _tail(workspace, run)
    error = error_of(workspace, run) if state == "failed" else None
    return _shown(state, run, _rows(workspace, run), output, error)


def next_name(workspace: Workspace, taken: Collection[str] = ()) -> str:
    """Return the name of the next model: no folder and no model in use has it."""
    models = workspace.root / MODELS
    number = 1
    while (name := f"model-{number}") in taken or (models / name).exists():
        number += 1
    return name


def model_of(workspace: Workspace, run: Run) -> Path:
    """Return the model file of a finished training."""
    return workspace.root / MODELS / run.name / MODEL_FILE


def has_splits(folder: Path) -> bool:
    """Return whether a folder holds what a training needs: manifests to learn from and to validate on."""
    return all((folder / name).is_file() for name in ("config.yaml", "train.jsonl", "validation.jsonl"))


def _require_idle(workspace: Workspace) -> None:
    run = last_run(workspace)
    if run is not None and _process(run) is not None:
        raise TakenError(f"a training is running ({run.name}); stop it, or wait until it ends")


def _start(workspace: Workspace, run: Run) -> None:
    """Start the process of a training, and write down which one it is. Hold the lock for it."""
    folder = workspace.root / MODELS / run.name
    options = [f"--budget={run.budget}"] if run.budget else []
    options += [f"--set=training.epochs={run.epochs}"] if run.epochs else []
    options += [f"--from={run.start}"] if run.start else []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _OUTPUT).open("ab") as output:
            said = output.tell()
            pid = commands.start(
                workspace, output, "train", f"{DATA}/{run.name}", "--out", f"{MODELS}/{run.name}", *options
            )
    except OSError as error:
        raise OutputError(error.errno, error.strerror or str(error), str(folder)) from None
    born = 0.0
    with suppress(psutil.Error):  # it has ended already
        born = psutil.Process(pid).create_time()
    _write_state(workspace, replace(run, pid=pid, born=born, said=said))


def _write_state(workspace: Workspace, run: Run) -> None:
    write_whole(workspace.hidden(_STATE), to_json(asdict(run), indent=1).encode())


def _process(run: Run) -> psutil.Process | None:
    """Return the process of a training if it runs: its number, its time of birth and its command are those of it."""
    try:
        process = psutil.Process(run.pid)
        is_own = abs(process.create_time() - run.born) < 2.0 and f"{MODELS}/{run.name}" in process.cmdline()
        return process if is_own and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, ValueError, OverflowError):
        return None


def _tail(workspace: Workspace, run: Run) -> str:
    """Return the end of what the training said since it was begun or continued."""
    try:
        with (workspace.root / MODELS / run.name / _OUTPUT).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL, run.said, 0))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _rows(workspace: Workspace, run: Run) -> list[Row]:
    try:
        return read_log(workspace.root / MODELS / run.name / _LOG)
    except AsrError:
        return []


def _shown(state: State, run: Run | None, rows: list[Row], output: str, error: str | None) -> dict[str, Any]:
    last = rows[-1] if rows else {}
    planned = [int(match[2]) for match in _EPOCH.finditer(output)]
    epochs = planned[-1] if planned else (None if run is None else run.epochs)
    eta = None
    if state == "running" and rows and epochs:
        eta = max(epochs - last["epoch"], 0) * last["seconds"] / last["epoch"]
    samples = last.get("samples", [])
    return {
        "state": state,
        "epoch": last.get("epoch", 0),
        "epochs": epochs,
        "seconds": last.get("seconds", 0.0),
        "eta": eta,
        "log": [{key: value for key, value in row.items() if key not in ("samples", "gradient_norms")} for row in rows],
        "heard": [{"reference": reference, "hypothesis": hypothesis} for reference, hypothesis in samples],
        "lines": output.splitlines()[-_SHOWN:],
        "model": run.name if run is not None and state == "finished" else None,
        "error": error,
    }
