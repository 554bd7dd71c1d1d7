"""`asr info`."""

from asr.cli.options import Model


def info(model: Model) -> None:
    """Show what a model file holds: units, configuration, how it was trained."""
    import yaml

    from asr.model import read_metadata

    print(yaml.safe_dump(read_metadata(model), sort_keys=False, allow_unicode=True, width=100), end="")
