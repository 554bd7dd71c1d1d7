"""`asr info`."""

from asr.cli.options import Model


def info(model: Model) -> None:
    """Show what a model file holds: units, settings, how it was trained."""
    import yaml

    from asr.errors import ModelFileError
    from asr.model_file import EXPORTED_SUFFIX, read_metadata, signature, task_of
    from asr.recognition.latency import describe

    shown = read_metadata(model)
    if task_of(shown) == "recognition":
        try:
            shown["streaming"] = describe(shown["config"])
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ModelFileError(f"{model}: its configuration is damaged ({error!r:.100}); copy it again") from None
    training = shown.get("training")
    if isinstance(training, dict):
        shown["training"] = {name: _with_unit(name, value) for name, value in training.items()}
    if model.suffix != EXPORTED_SUFFIX:
        shown["signature"] = f"sha256:{signature(model)}"
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100), end="")


def _with_unit(name: str, value: object) -> object:
    percent = name in ("validation_cer", "validation_wer", "validation_accuracy")
    return f"{value:.2f} %" if percent and isinstance(value, int | float) else value
