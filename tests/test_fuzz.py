"""A short run of the fuzz harness: damaged files of every kind end soon, with a result or an AsrError.

The long run is `python tests/fuzz/run.py --count 100000`.
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "fuzz"))

from run import fuzz
from seeds import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_are_refused_or_read(kind: str) -> None:
    sound, faults = fuzz(kind, 60, seed=1)
    assert not faults, "\n".join(faults)
    assert sound < 60


def test_the_harness_counts_crashes_hangs_and_tracebacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does each of them, in place of the real one."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import os, sys, time\n"
        "value = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "first, count = int(value['--first']), int(value['--count'])\n"
        "for number in range(first, first + count):\n"
        "    open(value['--worker'], 'r+b').write(number.to_bytes(8, 'little') + bytes(8) + bytes([1] * 8))\n"
        "    if number == 2: os.abort()\n"
        "    if number == 4: time.sleep(60)\n"
        "    if number == 6: print('traceback\\t6\\tKeyError', flush=True)\n"
        "end = first + count\n"
        "open(value['--worker'], 'r+b').write(end.to_bytes(8, 'little') + (5).to_bytes(8, 'little'))\n"
    )
    monkeypatch.setattr("run.__file__", str(worker))
    sound, faults = fuzz("text", 8, seconds=3)
    assert [fault.split("\t")[:2] for fault in faults] == [
        ["text crash", "2"],
        ["text hang", "4"],
        ["text traceback", "6"],
    ]
    assert sound == 5
