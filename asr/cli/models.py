"""`asr info`."""

from asr.cli.options import Model


def info(model: Model) -> None:
    """Show what a model file holds: units, configuration, how it was trained, and whether a recogniser can stream."""
    import yaml

    from asr.model_file import read_metadata, task_of
    from asr.recognition.recognizer import Recognizer, load
    from asr.recognition.stream import describe

    shown = read_metadata(model)
    if task_of(shown) == Recognizer.task:
        shown["streaming"] = describe(load(model, "cpu"))
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100), end="")
