"""The service as its routes see it: engine, limits, data folder, keys."""

from dataclasses import dataclass, field
from pathlib import Path

from asr.serving.engine.engine import Engine
from asr.serving.limits import Limits


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its models, its limits, and who may use it."""

    engine: Engine
    limits: Limits = field(default_factory=Limits)
    data: Path | None = None  # the folder of recordings that the page works in
    keys: tuple[str, ...] = ()  # without a key, everybody who reaches the address may use it
    origins: tuple[str, ...] = ()  # addresses of other sites whose pages may use it: https://HOST[:PORT]
    local: bool = False  # it listens on this machine only, so that no other name can lead to it
