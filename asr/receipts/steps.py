"""The commands behind a number: prepare, train, add language models, transcribe or classify, score."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asr.errors import AsrError
from asr.model_file import MODEL_FILE
from asr.run_log import CONFIG_FILE

Decoding = Literal["best path", "language models", "phrases"]
Run = Callable[[Sequence[str]], None]  # runs `asr` with these arguments; raises AsrError if it fails
RECIPES = Path(__file__).parent.parent.parent / "recipes"  # the checkout that this program runs from
_TUNED = "model.lm.safetensors"
_NAMES: dict[Decoding, str] = {"best path": "", "language models": ".lm", "phrases": ".phrases"}  # in names of files


@dataclass(frozen=True, slots=True)
class Steps:
    """The settings of the commands. A recipe is one of this checkout: its `prepare.py` is a program of ours.

    `phrases` is the file that the decoding "phrases" needs. `bleu` adds scores of translations, `by` is a field of the
    test manifest: each of its values is scored alone too.
    """

    recipe: str | None
    task: str
    train: Sequence[str]
    validation: Sequence[str]
    test: str
    decoding: Decoding
    phrases: str | None = None
    bleu: bool = False
    by: str | None = None

    def training(self, config: str, run: str) -> list[str]:
        """Return the arguments that train with a configuration in the folder `run`."""
        return ["train", config, "--out", run]

    def decoded(self, run: str) -> list[list[str]]:
        """Return the arguments that decode the test data with the model in the folder `run`, and write there."""
        model, steps = f"{run}/{MODEL_FILE}", []
        if self.decoding == "language models":
            texts = [word for path in self.train for word in ("--lm-text", path)]
            steps.append(["tune", model, self.validation[0], *texts, "-o", f"{run}/{_TUNED}"])
            model = f"{run}/{_TUNED}"
        command = "classify" if self.task == "classification" else "transcribe"
        phrases = ["--phrases", self.phrases] if self.phrases is not None else []
        return [*steps, [command, model, self.test, *phrases, "-o", self.hypotheses(run)]]

    def hypotheses(self, run: str) -> str:
        """Return the manifest with the hypotheses that the last command of `decoded` writes."""
        return f"{run}/{Path(self.test).stem}{_NAMES[self.decoding]}.hyp.jsonl"

    def described(self) -> list[list[str]]:
        """Return all commands for readers; CONFIG is the configuration in the receipt, RUN a folder."""
        prepare = [["python", f"recipes/{self.recipe}/prepare.py"]] if self.recipe is not None else []
        steps = [self.training("CONFIG", "RUN"), *self.decoded("RUN")]
        if self.task != "classification":
            options = [*(["--bleu"] if self.bleu else []), *(["--by", self.by] if self.by is not None else [])]
            steps.append(["score", *options, "--config", f"RUN/{CONFIG_FILE}", self.test, self.hypotheses("RUN")])
        return [*prepare, *(["asr", *step] for step in steps)]

    def told(self) -> tuple[str, ...]:
        """Return all commands as lines of a shell, for readers."""
        return tuple(map(shlex.join, self.described()))


def recipe_of(test: str) -> str | None:
    """Return the recipe that prepares a test manifest `data/NAME/….jsonl`, or None."""
    parts = Path(test).parts
    return (
        parts[1] if len(parts) == 3 and parts[0] == "data" and (RECIPES / parts[1] / "prepare.py").is_file() else None
    )


def preparation(recipe: str) -> Path:
    """Return the program that prepares the data of a recipe. Raises AsrError if this installation has none."""
    program = RECIPES / recipe / "prepare.py"
    if not program.is_file():
        raise AsrError(
            f"recipe {recipe}: {RECIPES} has no {recipe}/prepare.py; run the program from a clone that has the recipe"
        )
    return program
