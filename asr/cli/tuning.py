"""The command `asr tune`."""

import logging
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Device, Model, require_own_folder


def tune(
    model: Model,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Validation data with texts: .jsonl .csv .tsv.")],
    lm: Annotated[Path | None, typer.Option(help="ARPA file of words.")] = None,
    character_lm: Annotated[
        Path | None, typer.Option(help="ARPA file of characters (default: estimated from the words of --lm).")
    ] = None,
    lm_text: Annotated[
        list[Path] | None,
        typer.Option(
            help="Text or manifest to estimate both language models from, in place of ARPA files, and to train a "
            "character LSTM on, if it has 30,000 to 300,000 characters. Repeatable."
        ),
    ] = None,
    rnn_lm: Annotated[
        Path | None,
        typer.Option(
            help="Recurrent language model, used in the search or for rescoring, whichever scores better on validation "
            "(default: the LSTM of --lm-text)."
        ),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="Value of the field that --rnn-lm was trained with, such as a language (default: none).",
        ),
    ] = None,
    phrases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tune how sure `transcribe --phrases FILE` must be of a phrase.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw word confidences before and after calibration.")
    ] = None,
    closed: Annotated[
        bool, typer.Option(help="Allow only words of the word model (default: any word can be spelled).")
    ] = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="MODEL",
            help="Tune MODEL for transcribing as one with this model too: asr transcribe TUNED B C INPUT. Repeatable.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The model file to write, which can be MODEL itself (default: NAME.tuned.safetensors beside MODEL).",
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Add language models to a model file, and tune their weights.

    All is tuned on validation data. A language model that does not lower the errors is not stored. Words that the word
    model does not have stay possible: they are scored by their characters. Word confidences are calibrated in any case:
    of the words with confidence 0.8, eight in ten shall be right. MODEL itself stays as it is, unless -o names it.
    """
    from asr.api import load_transcriber
    from asr.cli.inputs import require_no_input
    from asr.cli.next_step import after_tuning
    from asr.files import require_file
    from asr.model_file import find_model
    from asr.recognition.recognizer import load
    from asr.tuning.tune import tune as tune_recognizer

    show_log(logging.WARNING, prefix="asr: ")
    if output is None:
        require_own_folder(model, "-o")
    output = output or model.with_name(f"{model.stem}.tuned{model.suffix}")
    inputs = [manifest, lm, character_lm, *(lm_text or ()), rnn_lm, phrases, *map(find_model, beside or ())]
    for path, option in ((output, "-o"), (plot, "--plot")):
        if path is not None:
            require_no_input(path, [str(one) for one in inputs if one is not None], option)
            require_file(path)
    require_no_input(plot, [str(model)], "--plot")
    recognizer = load(model, device)
    tune_recognizer(
        recognizer,
        manifest,
        lm=lm,
        character_lm=character_lm,
        lm_text=lm_text or (),
        with_lstm=True,
        rnn_lm=rnn_lm,
        given=given,
        phrases=phrases,
        closed=closed,
        plot=plot,
        beside=[load_transcriber(find_model(path), device) for path in beside or ()],
        names=[model, *map(find_model, beside or ())],
        report=partial(print, flush=True),
    )
    recognizer.save(output)
    tell(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    after_tuning([output, *(beside or ())], manifest)
