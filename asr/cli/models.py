"""`asr info`."""

from asr.cli.options import Model


def info(model: Model) -> None:
    """Show what a model file holds: units, configuration, how it was trained, and whether it can stream."""
    import yaml

    from asr.model import load, read_metadata
    from asr.stream import describe

    shown = {**read_metadata(model), "streaming": describe(load(model, "cpu"))}
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100), end="")
