"""Corpus readers, one module per format. A new format is a new module with a `READER`, and its name in `_MODULES`."""

from importlib import import_module

from asr.corpus.readers.reader import Reader

# The readers are tried in this order: a special layout before a general one that would also recognise it.
_MODULES = (
    "kaldi",
    "librispeech",
    "common_voice",
    "audiofolder",
    "lhotse",
    "json_list",
    "ljspeech",
    "vctk",
    "fairseq",
    "table",
    "eaf",
    "textgrid",
    "trs",
    "flextext",
    "exb",
    "chat",
    "stm",
    "subtitles",
    "elan_text",
    "labels",
    "id_list",
    "folder",
)
READERS: dict[str, Reader] = {
    name.replace("_", "-"): import_module(f"asr.corpus.readers.{name}").READER for name in _MODULES
}
