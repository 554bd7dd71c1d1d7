"""Does `asr next` save transcription? A simulation: transcripts are hidden, and a strategy says which ones to show.

    python bench/next.py data/mboshi/train.jsonl data/mboshi/validation.jsonl --seed 0 -o runs/next-mboshi \
      random:8 next:6 next:8

A model learns from the first `--start` minutes of the training manifest, in an order that the seed decides. Each
`STRATEGY:MINUTES` chooses so many minutes of the other recordings with this model, and a second model learns from both,
from random weights. Minutes are those of speech, without the pauses around it, for every strategy. Settings are those
that training chooses, with equal epochs.

Strategies: `random`; `next` is what `asr next` does; `doubt` takes the segments whose letters are least sure; `dense`
takes those with most letters a second, whatever the doubt. The program prints a JSON line for each result. Repeat the
command to resume it: finished results are printed again, and not computed. With `--choose-only`, no second model is
trained, and the lines say what the choices hold.
"""

import argparse
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from asr.cli import run
from asr.cli.log import show_log
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.subsets import first, in_order, seconds
from asr.errors import AsrError
from asr.files import to_json, write_whole
from asr.learning.candidates import Candidate, find_candidates
from asr.learning.ranking import Known, choose
from asr.recognition.recognizer import Recognizer, load
from asr.scoring.wer import score
from asr.training.data import open_data
from asr.training.evaluate import evaluate
from asr.training.folds import train_once
from asr.training.loop import MODEL_FILE
from asr.utterance import Utterance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, help="manifest of the pool, with the transcripts to hide")
    parser.add_argument("validation", type=Path)
    parser.add_argument("plans", nargs="+", metavar="STRATEGY:MINUTES")
    parser.add_argument("--seed", type=int, default=0, help="of the start, of random choice and of training")
    parser.add_argument("--start", type=float, default=10.0, help="minutes that are transcribed (default: 10)")
    parser.add_argument("--epochs", type=int, default=40, help="of each training (default: 40)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting of the configuration"
    )
    parser.add_argument("--choose-only", action="store_true", help="describe the choices, and train on none")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    show_log()
    simulation = Simulation(options)
    for plan in options.plans:
        strategy, _, minutes = plan.partition(":")
        if options.choose_only:
            print(to_json(simulation.described(strategy, float(minutes))), flush=True)
            continue
        result = simulation.out / f"{strategy}-{minutes}" / "result.json"
        if not result.exists():
            row = simulation.result(strategy, float(minutes), result.parent)
            write_whole(result, f"{to_json(row)}\n".encode())
        print(result.read_text(encoding="utf-8").strip(), flush=True)


class Simulation:
    """The recordings of one seed: those that are transcribed at the start, and the pool."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out / f"seed-{options.seed}"
        everything = in_order(read_manifest(options.train), seed=options.seed)
        self.start = first(everything, options.start)
        self.pool = {utterance.id: utterance for utterance in everything[len(self.start) :]}

    def result(self, strategy: str, minutes: float, folder: Path) -> dict[str, Any]:
        """Choose, train and score; return the row of a result."""
        chosen = self.chosen(strategy, minutes)
        model = self.learn([*self.start, *(self.pool[one.utterance.id] for one in chosen)], folder)
        validation = open_data(model.config, lambda line: None).validation
        texts = [utterance.text or "" for utterance in validation.utterances]
        found = score(texts, evaluate(model, validation).hypotheses)
        return {
            **self.described(strategy, minutes),
            "cer_before": self.model.summary["validation_cer"],
            "cer": round(found.cer.percent, 2),
            "wer": round(found.wer.percent, 2),
            "line": str(found.cer),
            "epoch": model.summary["epoch"],
            "commit": model.summary["git_commit"],
        }

    def described(self, strategy: str, minutes: float) -> dict[str, Any]:
        """Return what a choice holds; `cer_of_choice` is the CER of the model that chooses, on the chosen segments."""
        chosen = self.chosen(strategy, minutes)
        utterances = [self.pool[one.utterance.id] for one in chosen]
        texts = [self.model.normalizer(utterance.text or "") for utterance in utterances]
        found = score(texts, [self.model.text(one.units) for one in chosen], interval=False)
        return {
            "strategy": strategy,
            "seed": self.options.seed,
            "minutes_of_speech": round(sum(one.seconds for one in chosen) / 60, 2),
            "minutes_of_recordings": round(seconds(utterances) / 60, 2),
            "utterances": len(utterances),
            "characters": found.cer.total,
            "words": len({word for text in texts for word in text.split()}),
            "cer_of_choice": round(found.cer.percent, 2),
            "speakers": dict(Counter(utterance.speaker or "" for utterance in utterances).most_common(3)),
        }

    def chosen(self, strategy: str, minutes: float) -> list[Candidate]:
        """Return the candidates that a strategy takes."""
        return take(self.ranked(strategy, 60 * minutes), 60 * minutes)

    def ranked(self, strategy: str, most: float) -> Iterable[Candidate]:
        """Return candidates in the order in which a strategy takes them."""
        if strategy == "random":
            return random.Random(self.options.seed).sample(self.candidates, len(self.candidates))
        if strategy == "doubt":
            return sorted(self.candidates, key=lambda one: -one.doubt)
        if strategy == "dense":
            return sorted(self.candidates, key=lambda one: -len(one.units) / (one.seconds + 1))
        if strategy != "next":
            raise AsrError(f"{strategy}: is no strategy; there are random, next, doubt and dense")
        units = self.model.units
        transcripts = [(u.text or "", units.encode(self.model.normalizer(u.text or ""))) for u in self.start]
        voices = [one.speaker or str(one.audio) for one in self.start]
        known = Known.of((text, spelled, voice) for (text, spelled), voice in zip(transcripts, voices, strict=True))
        return [choice.candidate for choice in choose(self.candidates, known, most)]

    @cached_property
    def model(self) -> Recognizer:
        """The model that chooses."""
        return self.learn(self.start, self.out / "start")

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The pool without its transcripts, as the model recognises it."""
        return find_candidates(self.model, [replace(one, text=None) for one in self.pool.values()]).candidates

    def learn(self, utterances: Sequence[Utterance], folder: Path) -> Recognizer:
        """Train a model on utterances, unless that is done."""
        write_manifest(folder / "train.jsonl", utterances)
        train, validation = (str(path.absolute()) for path in (folder / "train.jsonl", self.options.validation))
        write_whole(folder / "config.yaml", to_json({"data": {"train": train, "validation": validation}}).encode())
        settings = [f"training.epochs={self.options.epochs}", f"training.seed={self.options.seed}", *self.options.set]
        config = Config.load(folder / "config.yaml", settings)
        train_once(config, folder / "run", repr([(one.id, one.text) for one in utterances]))
        return load(folder / "run" / MODEL_FILE)


def take(candidates: Iterable[Candidate], most: float) -> list[Candidate]:
    """Return candidates in their order that together last at most so many seconds; those that are too long are left."""
    taken: list[Candidate] = []
    for one in candidates:
        if one.seconds <= most:
            taken.append(one)
            most -= one.seconds
    return taken


if __name__ == "__main__":
    run(main)
