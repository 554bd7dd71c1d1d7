"""`asr receipt` and `asr verify`."""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log, tell
from asr.errors import AsrError


def receipt(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished training run: runs/NAME.")],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="Manifest of the test data: data/NAME/test.jsonl.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="NAME.json", help="Receipt to write (default: RUN/receipt.json)."),
    ] = None,
    lm: Annotated[
        bool,
        typer.Option(
            "--lm", help="Decode with language models of the training texts, tuned on validation data (asr tune)."
        ),
    ] = False,
    phrases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recognise only these phrases, one a line (asr transcribe).")
    ] = None,
    bleu: Annotated[bool, typer.Option("--bleu", help="Add BLEU and chrF, for translations.")] = False,
    by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Add the WER for each value of a field: --by speaker.")
    ] = None,
) -> None:
    """Measure a run on test data, and write the result with all that is needed to measure it again.

    The receipt has digests of the data, all settings, the commands, the commit, versions, the machine, and the counts.
    `asr verify` trains and measures again. Run both in the folder where the paths of the data begin.
    """
    from asr.cli.next_step import show_next
    from asr.files import require_file
    from asr.receipts.measure import make_receipt
    from asr.receipts.receipt import require_receipt_or_nothing, write_receipt

    show_log(logging.WARNING, prefix="asr: ")
    if lm and phrases is not None:
        raise AsrError("--lm, --phrases: are two ways to decode; make a receipt of each")
    if not run.is_dir():
        raise AsrError(f"{run}: no such folder; give the folder of a training that has ended, such as runs/NAME")
    path = output or run / "receipt.json"
    require_file(path, ".json")
    require_receipt_or_nothing(path)
    made = make_receipt(
        run,
        test,
        decoding="language models" if lm else "best path" if phrases is None else "phrases",
        phrases=phrases,
        bleu=bleu,
        by=by,
        execute=_execute,
        say=tell,
    )
    write_receipt(path, made)
    for name, value in made.result.lines().items():
        print(f"{name} {value}")
    tell(f"written: {path}")
    show_next("verify", path)


def verify(
    receipts: Annotated[list[Path], typer.Argument(metavar="RECEIPT…", help="Files that `asr receipt` wrote.")],
) -> None:
    """Train and measure again what receipts state, and say whether the results are equal.

    Data of a recipe is prepared if it is missing. Data that differs from that of the receipt is named before anything
    is trained. A model with several receipts is trained once. The exit status is 1 if a result differs, also by one
    decimal of a rate in percent.
    """
    from asr.receipts.receipt import read_receipt
    from asr.receipts.verify import verify as verify_receipt

    show_log(logging.WARNING, prefix="asr: ")
    different, failed = [], []
    with tempfile.TemporaryDirectory(prefix="asr-") as folder:
        for path in receipts:
            try:
                one = read_receipt(path)
                tell(f"{path}: {', '.join(f'{name} {value}' for name, value in one.result.lines().items())}")
                execute = partial(_execute, environment={"OMP_NUM_THREADS": str(one.machine.threads)})
                found = verify_receipt(one, Path(folder), execute=execute, prepare=_prepare, say=tell)
            except AsrError as error:
                tell(f"asr: {error}")
                failed.append(str(path))
                continue
            print("\n".join(f"{path}: {line}" for line in found.lines()))
            if found.verdict == "different":
                different.append(str(path))
    problems = [f"{', '.join(different)}: measured again with another result"] if different else []
    problems += [f"{', '.join(failed)}: not verified, for the reasons above"] if failed else []
    if problems:
        raise AsrError("; ".join(problems))


def _execute(step: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run a command of `asr` in a process of its own, its output on stderr. Raises AsrError if it fails."""
    tell(f"asr {' '.join(step)}")
    _run([sys.executable, "-m", "asr", *step], environment or {}, f"asr {step[0]}")


def _prepare(program: Path) -> None:
    _run([sys.executable, str(program)], {}, str(program))


def _run(command: Sequence[str], environment: dict[str, str], name: str) -> None:
    sys.stdout.flush()
    package = str(Path(__file__).parent.parent.parent)  # so that another folder finds this program, not another one
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, stdout=sys.__stderr__, env={**os.environ, "PYTHONPATH": path, **environment}, check=False
    )
    if done.returncode:
        raise AsrError(f"{name}: ended with status {done.returncode}; its messages are above")
