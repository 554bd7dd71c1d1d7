"""The searches that options of requests ask for, kept while they are asked for again."""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from asr.recognition.transcriber import Transcriber
from asr.serving.engine.messages import Options

if TYPE_CHECKING:
    from asr.recognition.search import Search  # imports numba, which best path does not need

_KEPT = 16  # searches; the largest list of phrases takes about 100 MB


class Searches:
    """The last searches of a process. Threads may share them."""

    def __init__(self) -> None:
        """Begin without any."""
        self._kept: OrderedDict[tuple[str, int, tuple[str, ...], tuple[str, ...]], Search] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str, model: Transcriber, options: Options) -> "Search | None":
        """Return the search of a model, called `name`, with these options; None if the model's own decoder does.

        Raises TextError for hotwords and phrases that the model cannot spell, AsrError for both together.
        """
        if not (options.nbest or options.hotwords or options.phrases):
            return None
        from asr.recognition.search import build_search

        key = (name, options.nbest, options.hotwords, options.phrases)
        with self._lock:
            if (search := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return search
        search = build_search(
            model, nbest=options.nbest, hotwords=options.hotwords or None, phrases=options.phrases or None
        )
        if search is not None:
            with self._lock:
                self._kept[key] = search
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return search
