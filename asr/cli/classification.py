"""`asr classify`."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Device, Inputs, Model
from asr.errors import AsrError, one_line


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
    from contextlib import ExitStack

    from asr.cli.inputs import find_recordings, require_no_input
    from asr.corpus.manifest import manifest_in_parts, with_hypothesis
    from asr.files import require_file

    if output is not None and output.suffix != ".jsonl":
        raise AsrError(f"-o {output}: must be the name of a manifest, NAME.jsonl")
    show_log()
    require_no_input(output, inputs)
    for path in filter(None, (output, confusion)):
        require_file(path)
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="asr-"))
        utterances = [source.utterance for source in find_recordings(inputs, Path(temporary))]

        from asr.api import load_classifier
        from asr.classification import classify as classify_all
        from asr.progress import ProgressBar

        classifier = load_classifier(model, device)
        field = classifier.config.data.text_field
        classified, failed, scored = 0, [], []  # scored: (reference, hypothesis, speaker)
        add = None if output is None else stack.enter_context(manifest_in_parts(output))
        with ProgressBar("classifying", len(utterances)) as bar:
            for utterance, result in classify_all(classifier, utterances):
                bar.advance()
                if isinstance(result, AsrError):
                    failed.append(one_line(utterance.id))
                    bar.print(f"asr: {result}")
                    continue
                classified += 1
                if add is not None:
                    add(with_hypothesis(utterance, result.label))
                else:
                    name = "" if len(utterances) == 1 else f"{one_line(utterance.id)}\t"
                    print(f"{name}{one_line(result.label)}\t{result.probability:.3f}")
                known = {"text": utterance.text, "speaker": utterance.speaker, **utterance.extra}.get(field)
                if known is not None and (reference := classifier.normalizer(str(known))):
                    scored.append((reference, result.label, None if field == "speaker" else utterance.speaker))
    if output is not None:
        tell(f"written: {output}")
    if scored:
        from asr.scoring.accuracy import accuracy, confusions

        references, hypotheses, speakers = zip(*scored, strict=True)
        right = accuracy(references, hypotheses, speakers)
        print(right)
        if unlabelled := classified - len(scored):
            tell(f"asr: {unlabelled} of {classified} recordings have no {field} and are not scored")
        if confusion is not None:
            from asr.figures.confusions import confusion_picture

            confusion_picture(confusion, *confusions(references, hypotheses, classifier.classes), str(right))
    elif confusion is not None:
        raise AsrError(f"--confusion {confusion}: needs a manifest with the class of each recording in {field}")
    if failed:
        names = "\n  ".join(failed)
        raise AsrError(f"{len(failed)} of {len(utterances)} recordings could not be classified:\n  {names}")
