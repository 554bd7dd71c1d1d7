"""Commands of `asr` as processes of their own, in the folder, whose files are never taken for programs."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import asr
from asr.errors import AsrError
from asr.serving.workspace.paths import Workspace

_PATIENCE = 900.0  # seconds of a command that is waited for


@dataclass(frozen=True, slots=True)
class Output:
    """The lines that a command printed as its result, and the lines of its error."""

    lines: tuple[str, ...]
    problems: tuple[str, ...]


def run(workspace: Workspace, *arguments: str) -> Output:
    """Run a command of `asr` to its end. Raises AsrError if it takes too long or ends by a bug."""
    try:
        done = subprocess.run(
            command(*arguments),
            cwd=workspace.root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AsrError(f"asr {arguments[0]} took longer than {_PATIENCE:.0f} s; run it in a terminal") from None
    if "Traceback (most recent call last)" in done.stderr:
        raise AsrError(f"asr {arguments[0]} ended by a bug: {done.stderr.strip().splitlines()[-1]}")
    _, begun, error = f"\n{done.stderr}".partition("\nasr: ")
    problems = tuple(line for line in error.splitlines() if line.strip()) if begun else ()
    if done.returncode and not problems:
        problems = tuple(done.stderr.strip().splitlines()[-3:]) or (f"asr {arguments[0]} was stopped by the system",)
    return Output(tuple(done.stdout.splitlines()), problems)


def start(workspace: Workspace, output: BinaryIO, *arguments: str) -> int:
    """Start a command in a session of its own, so that it goes on when the service ends; return its process number.

    `output` gets all that the command says.
    """
    process = subprocess.Popen(
        command(*arguments),
        cwd=workspace.root,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    Thread(target=process.wait, daemon=True).start()  # an ended process would stay in the list of processes
    return process.pid


def command(*arguments: str) -> list[str]:
    """Return a command line of `asr` that imports nothing from the current folder."""
    return [sys.executable, "-P", "-m", "asr", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a command: this package is found also if it is not installed."""
    package = str(Path(asr.__file__).parent.parent)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != package]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([package, *paths]),
        "PYTHONSAFEPATH": "1",
        "PYTHONUTF8": "1",
    }
