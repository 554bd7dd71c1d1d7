"""`asr train` and `asr selftest`."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Cache, Device, Seed, Set, TrainingConfig, model_file, parse_time, run_name, with_seed
from asr.errors import AsrError


def train(
    config: TrainingConfig,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder for results (default: runs/NAME, where NAME is the folder of CONFIG)."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            callback=model_file,
            help="Start from the weights of this model or run (default: random weights).",
        ),
    ] = None,
    override: Set = None,
    seed: Seed = None,
    device: Device = None,
    cache: Cache = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Training time, such as 20m or 2h; chooses model size and epochs to fit it on this machine "
            "(default: no limit).",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="With little data: train a model without each of N parts, which it recognises, and then a model on "
            "all; takes N + 1 trainings (default: validate on the validation split).",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="Train N models whose seeds differ, and report mean and standard deviation; the results are in "
            "runs/NAME-seeds/seed-0 and so on (default: one model).",
        ),
    ] = None,
    untranscribed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MANIFEST|FOLDER",
            help="Learn from recordings without texts too: a teacher transcribes them, and the texts it is sure of are "
            "learned before the real ones. Repeatable.",
        ),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MODEL",
            help="With --untranscribed: model or run that transcribes, several as one (default: a model trained first, "
            "with language models of its training texts).",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Stop if any utterance is unusable (default: leave unusable utterances out)."),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace the results of a finished run, or of another run, in OUT (default: refuse)."
        ),
    ] = False,
    extend: Annotated[
        bool,
        typer.Option(
            "--extend",
            help="Continue the run in OUT with more epochs or another learning rate: --set training.epochs=60.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the data, and print choices, time and memory, without training."),
    ] = False,
) -> None:
    """Train a recogniser or a classifier.

    The result is OUT/model.safetensors. A configuration with `task: classification` trains a classifier. The data is
    checked first; unusable utterances are named and left out. If training was interrupted, repeat the command to
    resume it. Results of another run are never replaced without --overwrite.
    """
    begun = time.monotonic()  # before PyTorch is loaded, which counts in a budget
    shorten_busy_waiting()
    show_log()
    from asr.config import Config
    from asr.corpus.cache import use_cache

    use_cache(cache)
    if extend and (overwrite or budget is not None):
        raise AsrError("--extend: leave --overwrite and --budget out; set training.epochs to the number of all epochs")
    if folds is not None and (extend or dry_run or strict or budget is not None):
        raise AsrError("--folds: leave --budget, --extend, --strict and --dry-run out")
    if seeds is not None and (untranscribed or folds is not None or extend or dry_run or budget is not None):
        raise AsrError("--seeds: leave --budget, --extend, --folds, --untranscribed and --dry-run out")
    if teacher and not untranscribed:
        raise AsrError("--teacher MODEL: goes with --untranscribed; to start from its weights, use --from")
    if untranscribed and (extend or dry_run or strict or folds is not None or budget is not None):
        raise AsrError("--untranscribed: leave --budget, --extend, --folds, --strict and --dry-run out")
    overrides = with_seed(override, seed)
    if start is not None:
        overrides.append(f"training.start_from={start}")
    if budget is not None:
        overrides.append(f"training.budget_minutes={parse_time('--budget', budget) / 60}")
    with _one_job(device):
        settings = Config.load(config, overrides)
        from asr.cli.next_step import after_seeds, after_training
        from asr.training.hardware import processes, use_device
        from asr.training.train import dry_run as forecast
        from asr.training.train import train as train_model

        if device is not None:
            use_device(device)
        folder = out or Path("runs") / run_name(config)
        options = {"strict": strict, "overwrite": overwrite, "extend": extend}
        if dry_run:
            print("\n".join(forecast(settings, folder, **options)))
        elif untranscribed:
            from asr.cli.inputs import find_untranscribed
            from asr.learning.selftrain import self_train

            self_train(
                settings,
                folder,
                untranscribed=find_untranscribed(untranscribed),
                teacher=[found for path in teacher or () if (found := model_file(path)) is not None],
                say=tell,
                overwrite=overwrite,
            )
            after_training(settings, folder)
        elif folds is not None:
            from asr.training.cross_validation import train_on_folds

            train_on_folds(settings, folder, folds=folds, say=tell, overwrite=overwrite)
            after_training(settings, folder)
        elif seeds is not None:
            folder = out or Path("runs") / f"{run_name(config)}-seeds"
            from asr.report.compare import compare_runs
            from asr.training.seeds import train_on_seeds

            compared = compare_runs(
                train_on_seeds(settings, folder, seeds=seeds, say=tell, strict=strict, overwrite=overwrite)
            )
            for note in compared.notes:
                tell(note)
            print("\n\n".join(map(str, compared.tables)))
            after_seeds(settings, folder)
        else:
            train_model(settings, folder, **options, begun=begun)
            if processes().is_main_process:
                after_training(settings, folder)


def selftest(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest of training utterances.")],
) -> None:
    """Test in a minute whether a model can learn from your data.

    The test compares durations with text lengths, and trains a small model to memorise eight utterances. It needs at
    least 10 utterances.
    """
    shorten_busy_waiting()
    show_log()
    from asr.cli.next_step import after_testing
    from asr.training.selftest import selftest as run_selftest

    run_selftest(manifest, print)
    after_testing(manifest)


@contextmanager
def _one_job(device: str | None) -> Iterator[None]:
    """Join the other processes of torchrun, if there are any, so that an error of one process ends all of them."""
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    from asr.training.agreement import ending_together
    from asr.training.hardware import leave, use_device

    if device is not None:
        use_device(device)
    with ending_together():
        yield
    leave()


def shorten_busy_waiting() -> None:
    """Make idle OpenMP threads of PyTorch wait busily for 50 us instead of milliseconds.

    The steps of an LSTM run on other threads, which need the processor. GNU OpenMP reads the variable when it is
    loaded; other OpenMP libraries ignore it.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
