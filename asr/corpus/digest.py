"""The digest of a corpus: equal for equal recordings and transcripts, wherever the files lie."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from asr.corpus.manifest import scan_manifest
from asr.corpus.pack import map_in_order
from asr.corpus.remote import is_url
from asr.files import file_digest


def corpus_digest(manifests: Sequence[str | Path], text_field: str = "text") -> str | None:
    """Return the SHA-256 of the utterances of manifests: ids, texts, bounds, speakers, and the bytes of recordings.

    Paths do not count, so copies of a corpus in other folders have equal digests. Faulty lines do not count either.
    Return None for a manifest at an address. Raises ManifestError for a manifest that cannot be read.
    """
    if any(is_url(str(path)) for path in manifests):
        return None
    found = [one for path in manifests for _, one in scan_manifest(path, text_field=text_field, allow_empty=True)[0]]
    recordings = list(dict.fromkeys(utterance.audio for utterance in found))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = dict(zip(recordings, map_in_order(pool, file_digest, recordings), strict=True))
    digest = hashlib.sha256()
    for one in found:
        line = (one.id, one.text, one.offset, one.duration, one.speaker, digests[one.audio])
        digest.update(repr(line).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()
