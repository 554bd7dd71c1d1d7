"""Feed damaged files to every reader of `asr`: each must end soon, in little memory, with a result or an AsrError.

    python tests/fuzz/run.py --count 100000 --kind model arpa

A process of its own reads the inputs one after the other. If the process crashes, or reads one input for too long, the
input is counted and a new process goes on with the next. Input N of a kind depends on N and the seed alone:
`--write N` saves the input.
"""

import argparse
import contextlib
import io
import logging
import mmap
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
SECONDS = 30.0  # for one input; includes the compilation of functions
MEGABYTES = 1000  # more than the process needs for sound inputs
FAULTS = ("crash", "hang", "memory", "traceback")


def mutated(kind: str, number: int, seed: int = 0) -> bytes:
    """Return input `number` of a kind."""
    from seeds import KINDS

    draw = random.Random(f"{kind}:{seed}:{number}")
    content = draw.choice(KINDS[kind].seeds())
    return KINDS[kind].damage(content, draw)


def work(kind: str, first: int, end: int, seed: int, shared: Path) -> None:
    """Read inputs `first` to `end`; write the number of the current one to `shared`, and faults to stdout."""
    from seeds import KINDS

    from asr.errors import AsrError

    logging.disable()
    warnings.simplefilter("ignore")
    os.environ["OMP_NUM_THREADS"] = "1"
    report = sys.stdout
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    path = folder / KINDS[kind].name
    (folder / "a.wav").touch()  # the recording that manifests and corpora name
    for content in KINDS[kind].seeds():  # compile, import, and find out what sound inputs need
        path.write_bytes(content)
        with contextlib.redirect_stdout(io.StringIO()):
            KINDS[kind].read(path)
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + 1024 * MEGABYTES
    with shared.open("r+b") as file, mmap.mmap(file.fileno(), 24) as place:
        place[16] = 1  # sound inputs were read
        for number in range(first, end):
            place[:8] = number.to_bytes(8, "little")
            path.write_bytes(mutated(kind, number, seed))
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    KINDS[kind].read(path)
                    place[8:16] = (int.from_bytes(place[8:16], "little") + 1).to_bytes(8, "little")
            except AsrError as error:
                if len(str(error)) > 20_000:
                    print(f"traceback\t{number}\tan error of {len(str(error))} characters", file=report, flush=True)
            except Exception:
                last = traceback.format_exc().strip().splitlines()
                where = [line.strip() for line in last if line.strip().startswith("File") and "asr" in line]
                print(f"traceback\t{number}\t{last[-1][:150]} {where[-1:]}", file=report, flush=True)
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > limit:
                print(f"memory\t{number}\tmore than {MEGABYTES} MB", file=report, flush=True)
                break
        else:
            number = end
        place[:8] = (number + (number < end)).to_bytes(8, "little")
    shutil.rmtree(folder)


def fuzz(kind: str, count: int, *, first: int = 0, seed: int = 0, seconds: float = SECONDS) -> tuple[int, list[str]]:
    """Read `count` inputs of a kind in processes. Returns how many were read as sound, and a line for each fault."""
    faults: list[str] = []
    end, sound = first + count, 0
    with tempfile.TemporaryDirectory() as folder:
        shared, said = Path(folder) / "place", Path(folder) / "said"
        while first < end:
            shared.write_bytes(first.to_bytes(8, "little") + bytes(16))
            command = [sys.executable, __file__, "--worker", str(shared), "--kind", kind, "--seed", str(seed)]
            command += ["--first", str(first), "--count", str(end - first)]
            with said.open("wb") as out, (Path(folder) / "stderr").open("wb") as err:
                process = subprocess.Popen(command, stdout=out, stderr=err)
                last, since, hung = first, time.monotonic() + 5 * seconds, False  # the first input compiles
                while process.poll() is None:
                    time.sleep(0.1)
                    current = int.from_bytes(shared.read_bytes()[:8], "little")
                    if current != last:
                        last, since = current, time.monotonic()
                    elif time.monotonic() - since > seconds:
                        process.kill()
                        process.wait()
                        hung = True
            content = shared.read_bytes()
            reached = int.from_bytes(content[:8], "little")
            sound += int.from_bytes(content[8:16], "little")
            faults += [f"{kind} {line}" for line in said.read_text("utf-8", "replace").splitlines()]
            if not content[16]:
                raise RuntimeError(f"{kind}: sound inputs are refused: {(Path(folder) / 'stderr').read_text()[-2000:]}")
            if process.returncode != 0:
                what = (
                    f"hang\t{reached}\tmore than {seconds:.0f} s" if hung else f"crash\t{reached}\t{process.returncode}"
                )
                faults.append(f"{kind} {what} {(Path(folder) / 'stderr').read_text('utf-8', 'replace')[-300:]}")
                reached += 1
            first = reached
    return sound, faults


def main() -> None:
    from seeds import KINDS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="inputs of each kind (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input (default: 0)")
    parser.add_argument("--kind", nargs="+", choices=list(KINDS), default=list(KINDS), help="kinds (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (default: 0)")
    parser.add_argument("--write", type=int, metavar="N", help="save input N of the kind, and read nothing")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        end = options.first + options.count
        work(options.kind[0], options.first, end, options.seed, options.worker)
        return
    if options.write is not None:
        path = Path(f"{options.write}-{KINDS[options.kind[0]].name}")
        path.write_bytes(mutated(options.kind[0], options.write, options.seed))
        print(path)
        return
    failed = False
    for kind in options.kind:
        start = time.monotonic()
        sound, faults = fuzz(kind, options.count, first=options.first, seed=options.seed)
        counts = ", ".join(f"{sum(f'{kind} {fault}' in line for line in faults)} {fault}" for fault in FAULTS)
        print(f"{kind}: {options.count} inputs, {sound} read, {counts}; {time.monotonic() - start:.0f} s", flush=True)
        for line in faults[:20]:
            print("   ", line)
        failed = failed or bool(faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
