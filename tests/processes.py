"""Commands in processes of their own that start at once: a server that has imported the packages forks them."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "asr.cli",
        "asr.exporting.onnx",
        "asr.report.score",
        "asr.runtime.session",
        "asr.training.train",
        "asr.tuning.tune",
    ]
)


def run_asr(*arguments: object, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as a user does, but without the seconds that imports take."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin, encoding="utf-8")
        command = list(map(str, arguments))
        process = _CONTEXT.Process(target=_run, args=(command, cwd or Path.cwd(), dict(os.environ), files))
        process.start()
        process.join()
        said = [path.read_text(encoding="utf-8") if path.exists() else "" for path in files[1:]]
    return subprocess.CompletedProcess(command, process.exitcode or 0, *said)


def _run(arguments: list[str], cwd: Path, environment: dict[str, str], files: list[Path]) -> None:
    from asr.cli import main

    for number, path in enumerate(files):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["asr", *arguments]
    main()
