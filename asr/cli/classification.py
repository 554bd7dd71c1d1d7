"""`asr classify`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.options import Device, Inputs, Model
from asr.errors import AsrError


def classify(
    model: Model,
    inputs: Inputs,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="NAME.jsonl",
            help="Write a manifest with a field `hypothesis` (default: print the classes).",
        ),
    ] = None,
    confusion: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Draw a confusion matrix; needs manifests with classes (default: none)."),
    ] = None,
    device: Device = None,
) -> None:
    """Classify recordings.

    Prints the class of each recording and its probability; with several recordings, its name comes first. If manifests
    contain the classes, the last line is the accuracy, with counts and a 95 % bootstrap interval. Recordings that
    cannot be read are named on stderr, and the exit status is then 1.
    """
    import tempfile

    from asr.cli.inputs import find_recordings
    from asr.corpus.manifest import with_hypothesis, write_manifest

    if output is not None and output.suffix != ".jsonl":
        raise AsrError(f"-o {output}: must be the name of a manifest, NAME.jsonl")
    with tempfile.TemporaryDirectory(prefix="asr-") as temporary:
        utterances = [utterance for utterance, _ in find_recordings(inputs, Path(temporary))]

        from asr.classification import Classifier
        from asr.classification import classify as classify_all
        from asr.progress import ProgressBar

        classifier = Classifier.from_file(model, device)
        field = classifier.config.data.text_field
        rows, failed, scored = [], [], []  # scored: (reference, hypothesis, speaker)
        with ProgressBar("classifying", len(utterances)) as bar:
            for utterance, result in classify_all(classifier, utterances):
                bar.advance()
                if isinstance(result, AsrError):
                    failed.append(utterance.id)
                    bar.print(f"asr: {result}")
                    continue
                rows.append(with_hypothesis(utterance, result.label))
                if output is None:
                    name = "" if len(utterances) == 1 else f"{utterance.id}\t"
                    print(f"{name}{result.label}\t{result.probability:.3f}")
                known = {"text": utterance.text, "speaker": utterance.speaker, **utterance.extra}.get(field)
                if known is not None and (reference := classifier.normalizer(str(known))):
                    scored.append((reference, result.label, None if field == "speaker" else utterance.speaker))
    if output is not None:
        write_manifest(output, rows)
    if scored:
        from asr.scoring.accuracy import accuracy, confusions

        references, hypotheses, speakers = zip(*scored, strict=True)
        right = accuracy(references, hypotheses, speakers)
        print(right)
        if unlabelled := len(rows) - len(scored):
            print(f"asr: {unlabelled} of {len(rows)} recordings have no {field} and are not scored", file=sys.stderr)
        if confusion is not None:
            from asr.figures.confusions import confusion_picture

            confusion_picture(confusion, *confusions(references, hypotheses, classifier.classes), str(right))
    elif confusion is not None:
        raise AsrError(f"--confusion {confusion}: needs a manifest with the class of each recording in {field}")
    if failed:
        names = "\n  ".join(failed)
        raise AsrError(f"{len(failed)} of {len(utterances)} recordings could not be classified:\n  {names}")
