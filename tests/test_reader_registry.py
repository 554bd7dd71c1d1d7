"""The list of corpus readers: every reader module is in it, and `asr prepare` has the options of each reader."""

import inspect
from importlib import import_module
from pathlib import Path

from asr.cli.corpus import prepare
from asr.corpus import readers
from asr.corpus.readers import READERS


def test_every_reader_module_is_listed() -> None:
    stems = sorted(path.stem for path in Path(readers.__file__).parent.glob("*.py") if path.stem != "__init__")
    modules = {stem: import_module(f"asr.corpus.readers.{stem}") for stem in stems}
    found = {stem.replace("_", "-"): m.READER for stem, m in modules.items() if hasattr(m, "READER")}
    assert found == READERS
    assert len({reader.title for reader in READERS.values()}) == len(READERS)


def test_the_command_line_has_the_options_of_every_reader() -> None:
    offered = inspect.signature(prepare).parameters.keys()
    for reader in READERS.values():
        assert reader.options <= offered
    assert READERS["folder"].options == {"text_suffix", "pattern"} and READERS["eaf"].options == {"tier", "media"}


def test_a_fallback_is_tried_last() -> None:
    assert [reader.is_fallback for reader in READERS.values()] == [False] * (len(READERS) - 2) + [True] * 2
    assert list(READERS)[-2:] == ["id-list", "folder"]
