"""Kill commands at random moments, run them again, and compare what they leave with an undisturbed run.

    python tests/fuzz/kill.py --recordings data/demo/train --count 25

Each step of a small pipeline is first run once without a kill. Then, `--count` times for each step, the same command is
killed (SIGKILL) at a random moment of its duration and run again to its end. All results must then be equal, byte for
byte. The recordings are WAV files with a text file of the same stem beside each; `data/demo/train.jsonl` does as well.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ASR = [sys.executable, "-m", "asr"]
CONFIG = """\
data: {train: data/train.jsonl, validation: data/validation.jsonl}
features: {bins: 20}
model: {hidden: 16, layers: 1, channels: 4}
training: {epochs: 3, batch_utterances: 8, checkpoint_minutes: 0.01, patience: 3}
"""


@dataclass(frozen=True)
class Step:
    """A command, the files that it reads, and the files of its result."""

    name: str
    line: str
    needs: list[str]
    results: list[str]
    again: tuple[str, ...] = ()  # options of the second run only

    @property
    def command(self) -> list[str]:
        """The words of the command, with this checkout's `asr`."""
        first, *others = self.line.split()
        return [*(ASR if first == "asr" else [first]), *others]


STEPS = [
    Step("prepare", "asr prepare recordings -o data", ["recordings"], ["data/*.jsonl"]),
    Step("check", "asr check data/train.jsonl -o check.jsonl", ["data"], ["check.jsonl"]),
    Step("lm", "asr lm data/train.jsonl -o lm.arpa", ["data"], ["lm.arpa"]),
    Step(
        "lm train-rnn",
        "asr lm train-rnn data/train.jsonl --validation data/validation.jsonl -o lm.safetensors --hidden 32 --epochs 3",
        ["data"],
        ["lm.safetensors"],
    ),
    # Packs the recordings first.
    Step("train", "asr train config.yaml --out run", ["data", "config.yaml"], ["run/model.safetensors"]),
    Step(
        "tune",
        "asr tune model.safetensors data/validation.jsonl --lm-text data/train.jsonl -o tuned.safetensors",
        ["data", "model.safetensors"],
        ["tuned.safetensors"],
    ),
    Step(  # not as ELAN files, which hold the date
        "transcribe",
        "asr transcribe model.safetensors recordings -f txt,json,TextGrid -o out",
        ["recordings", "model.safetensors"],
        ["out/*.txt", "out/*.json", "out/*.TextGrid"],
        again=("--skip-existing",),
    ),
    Step(
        "transcribe a manifest",
        "asr transcribe model.safetensors data/train.jsonl -o hyp.jsonl",
        ["data", "model.safetensors"],
        ["hyp.jsonl"],
    ),
    Step(
        "make",
        "make -f Steps.mk hyp.jsonl",
        ["recordings", "config.yaml", "Steps.mk"],
        ["hyp.jsonl", "run/model.safetensors"],
    ),
]
MAKEFILE = f"""\
.DELETE_ON_ERROR:
ASR := {" ".join(ASR)}
hyp.jsonl: run/model.safetensors
\t$(ASR) transcribe $< data/validation.jsonl -o $@
run/model.safetensors: data/train.jsonl
\t$(ASR) train config.yaml --out run
data/train.jsonl:
\t$(ASR) prepare recordings -o data
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recordings", type=Path, required=True, metavar="MANIFEST", help="manifest of recordings")
    arguments.add_argument("--count", type=int, default=25, help="kills of each step (default: %(default)s)")
    arguments.add_argument("--utterances", type=int, default=60, help="recordings to use (default: %(default)s)")
    arguments.add_argument("--step", nargs="+", choices=[step.name for step in STEPS], help="steps (default: all)")
    arguments.add_argument("--seed", type=int, default=0, help="seed of all moments (default: %(default)s)")
    options = arguments.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        prepare_source(options.recordings, options.utterances, source)
        for step in STEPS:
            reference, seconds = undisturbed(step, source, Path(folder))  # always: later steps need its results
            if options.step and step.name not in options.step:
                continue
            draw = random.Random(f"{options.seed} {step.name}")
            kills = unequal = 0
            for _ in range(options.count):
                killed, equal = disturbed(step, source, Path(folder), seconds * draw.random(), reference)
                kills += killed
                unequal += not equal
            failures += unequal
            print(f"{step.name}: {kills} of {options.count} killed before the end, {unequal} with other results; "
                  f"{seconds:.1f} s undisturbed", flush=True)  # fmt: skip
    sys.exit(failures > 0)


def prepare_source(manifest: Path, utterances: int, source: Path) -> None:
    """Copy recordings of a manifest, with a text file beside each."""
    (source / "recordings").mkdir(parents=True)
    for line in manifest.read_text(encoding="utf-8").splitlines()[:utterances]:
        row = json.loads(line)
        audio = manifest.parent / row["audio_filepath"]
        shutil.copy(audio, source / "recordings" / audio.name)
        (source / "recordings" / audio.name).with_suffix(".txt").write_text(row["text"], encoding="utf-8")
    (source / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (source / "Steps.mk").write_text(MAKEFILE, encoding="utf-8")


def undisturbed(step: Step, source: Path, folder: Path) -> tuple[dict[str, str], float]:
    """Run a step; keep its results in `source` for the steps after it. Return their digests, and its seconds."""
    work = fresh(step, source, folder)
    started = time.monotonic()
    run(step.command, work)
    seconds = time.monotonic() - started
    for result in (path for pattern in step.results for path in work.glob(pattern)):
        kept = source / result.relative_to(work)
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(result, kept)
    if step.name == "train":
        shutil.copy(work / "run/model.safetensors", source / "model.safetensors")
    return digests(step, work), seconds


def disturbed(step: Step, source: Path, folder: Path, moment: float, reference: dict[str, str]) -> tuple[bool, bool]:
    """Kill a step after `moment` seconds, and run it again; return whether it was killed, and whether all is equal."""
    work = fresh(step, source, folder)
    process = subprocess.Popen(
        step.command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
    killed = process.returncode == -9
    if killed:  # after a kill at the very end, training says that the run is finished: the results alone count
        subprocess.run([*step.command, *step.again], cwd=work, capture_output=True)
    found = digests(step, work)
    if found != reference:
        names = sorted(name for name in {*found, *reference} if found.get(name) != reference.get(name))
        print(f"{step.name}: killed after {moment:.3f} s: other results: {', '.join(names)}", flush=True)
    return killed, found == reference


def fresh(step: Step, source: Path, folder: Path) -> Path:
    """Make the folder of a run, which holds only what the step needs; its path is always the same."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name in step.needs:
        path = source / name
        shutil.copytree(path, work / name) if path.is_dir() else shutil.copy(path, work / name)
    if "data" in step.needs and "recordings" not in step.needs:  # the manifests name the recordings beside them
        shutil.copytree(source / "recordings", work / "recordings")
    return work


def run(command: list[str], work: Path) -> None:
    finished = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {finished.returncode}:\n{finished.stderr}")


def digests(step: Step, work: Path) -> dict[str, str]:
    return dict(sorted(_digests(step, work)))


def _digests(step: Step, work: Path) -> Iterator[tuple[str, str]]:
    for pattern in step.results:
        for path in work.glob(pattern):
            yield str(path.relative_to(work)), hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
