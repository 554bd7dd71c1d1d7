"""The command `asr export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Model
from asr.errors import AsrError

if TYPE_CHECKING:
    import numpy as np

    from asr.model import SpeechModel
    from asr.recognition.recognizer import Recognizer

_MOST = 200  # validation utterances that are compared
TARGETS = ("onnxruntime", "sherpa-onnx")


def export(
    model: Model,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="PATH", help="File to write: NAME.onnx; with --for sherpa-onnx, a folder."
        ),
    ] = None,
    web: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to write: a page that transcribes in the browser, without network."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Store weights as 8-bit integers: a quarter of the size, and faster.")
    ] = False,
    target: Annotated[
        str, typer.Option("--for", metavar="NAME", help="Program to export for: onnxruntime or sherpa-onnx (phones).")
    ] = "onnxruntime",
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="Recordings on which both must agree (default: the validation data of the model where it is there, "
            "else synthetic sounds).",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write 8-bit weights even if they cost more than 0.3 points of CER.")
    ] = False,
) -> None:
    """Write a model as an ONNX file, which runs without PyTorch, or as a page for browsers.

    The file holds all that transcription needs: units, text rules, language models. The command computes recordings
    with the model and with the file, alone and in batches. It writes no file that gives other answers.
    """
    if target not in TARGETS:
        raise AsrError(f"--for {target}: must be one of {', '.join(TARGETS)}")
    path = output or web
    if path is None or (web is not None and (output is not None or target != TARGETS[0])):
        raise AsrError("name what to write: -o FILE.onnx, -o FOLDER --for sherpa-onnx, or --web FOLDER")
    show_log()
    from asr.api import load
    from asr.files import require_file

    loaded = load(model, "cpu")
    waveforms, texts = _recordings(loaded, check)
    if web is not None:
        from asr.exporting.web import export_page

        recognizer = _require_recognizer(loaded, model, "the page")
        export_page(recognizer, path, waveforms=waveforms, texts=texts, int8=int8, force=force, report=tell)
    elif target == "sherpa-onnx":
        from asr.exporting.sherpa import export_for_sherpa

        recognizer = _require_recognizer(loaded, model, "sherpa-onnx")
        export_for_sherpa(recognizer, path, waveforms=waveforms, texts=texts, int8=int8, force=force, report=tell)
    else:
        from asr.cli.inputs import require_no_input
        from asr.exporting.export import export as export_model
        from asr.model_file import EXPORTED_SUFFIX

        require_no_input(path, [str(one) for one in (model, check) if one is not None])
        require_file(path, EXPORTED_SUFFIX)
        export_model(loaded, path, waveforms=waveforms, texts=texts, int8=int8, force=force, report=tell)


def _require_recognizer(model: "SpeechModel[Any]", path: Path, name: str) -> "Recognizer":
    from asr.recognition.recognizer import Recognizer

    if not isinstance(model, Recognizer):
        raise AsrError(f"{path}: {name} runs recognisers; this is a {model.task} model")
    return model


def _recordings(model: "SpeechModel[Any]", manifest: Path | None) -> "tuple[list[np.ndarray] | None, list[str] | None]":
    """Load validation utterances and their texts; None where there are none."""
    from asr.audio import load_audio
    from asr.corpus.manifest import read_manifest
    from asr.equalize import equalize

    field = model.config.data.text_field
    paths = [manifest] if manifest else [path for path in map(Path, model.config.data.validation) if path.is_file()]
    utterances = [utterance for path in paths for utterance in read_manifest(path, text_field=field)]
    if not utterances:
        return None, None
    some = utterances[:: -(-len(utterances) // _MOST)]
    waveforms = [load_audio(u.audio, model.sample_rate, offset=u.offset, duration=u.duration) for u in some]
    if model.config.features.equalize:
        waveforms = equalize(waveforms, model.sample_rate)
    return waveforms, [model.normalizer(utterance.text or "") for utterance in some]
