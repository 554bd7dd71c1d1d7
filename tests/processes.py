"""Programs in processes of their own that start at once: a server that has imported the packages forks them."""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "asr.cli",
        "asr.corpus.prepare",
        "asr.exporting.onnx",
        "asr.report.score",
        "asr.runtime.session",
        "asr.training.train",
        "asr.tuning.tune",
    ]
)


def run_asr(*arguments: object, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, but without the seconds that imports take."""
    return _run(None, arguments, cwd or Path.cwd(), dict(os.environ), stdin)


def run_script(script: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of a file, with more variables of the environment."""
    return _run(script, arguments, Path.cwd(), {**os.environ, **environment}, "")


def _run(
    script: Path | None, arguments: tuple[object, ...], cwd: Path, environment: dict[str, str], stdin: str
) -> subprocess.CompletedProcess[str]:
    command = [str(script or "asr"), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin, encoding="utf-8")
        process = _CONTEXT.Process(target=_program, args=(script, command, cwd, environment, streams))
        process.start()
        process.join()
        said = [path.read_text(encoding="utf-8") if path.exists() else "" for path in streams[1:]]
    return subprocess.CompletedProcess(command, process.exitcode or 0, *said)


def _program(
    script: Path | None, command: list[str], cwd: Path, environment: dict[str, str], streams: list[Path]
) -> None:
    """Become the program, in the process that the server has forked."""
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = command
    try:
        if script is None:
            from asr.cli import main

            main()
        else:
            sys.path.insert(0, str(script.parent))
            runpy.run_path(str(script), run_name="__main__")
    finally:
        if loky := sys.modules.get("joblib.externals.loky"):  # multiprocessing would wait until its workers are tired
            loky.get_reusable_executor().shutdown()
        atexit._run_exitfuncs()  # multiprocessing ends its children without
