"""`asr info`."""

from asr.cli.options import Model


def info(model: Model) -> None:
    """Show what a model file holds: units, settings, how it was trained."""
    import yaml

    from asr.errors import ModelFileError
    from asr.model_file import read_metadata, task_of
    from asr.recognition.latency import describe

    shown = read_metadata(model)
    if task_of(shown) == "recognition":
        try:
            shown["streaming"] = describe(shown["config"])
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ModelFileError(f"{model}: its configuration is damaged ({error!r:.100}); copy it again") from None
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100), end="")
