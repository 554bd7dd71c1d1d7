"""Reader of the VCTK layout: `wav48*/p225/p225_001_mic1.flac` and `txt/p225/p225_001.txt`.

The names of the texts lack the microphone, so no text has the name of its recording. The older layout, without `_mic1`,
is read too.
"""

import os
import re
from collections import Counter
from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio, walk
from asr.corpus.readers.kinds import kind_of
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import note, read_each, source_text
from asr.corpus.readers.recordings import Recordings
from asr.utterance import Utterance

_MICROPHONE = re.compile(r"(.+)_mic(\d)")


def recognises(source: Path) -> bool:
    """Return True for a folder with `txt/` and `wav48/`, or with `X.txt` for a recording `X_mic1.*`."""
    if not source.is_dir():
        return False
    try:
        folders = [path.name for path in source.iterdir() if path.is_dir()]
    except OSError:
        return False
    if "txt" in folders and any(name.startswith("wav48") for name in folders):
        return True
    texts, heard = set(), set()
    for _, _, names in os.walk(source):
        for name in names:
            stem, _, suffix = name.rpartition(".")
            if suffix == "txt":
                texts.add(stem)
            elif (match := _MICROPHONE.fullmatch(stem)) and is_audio(Path(name)):
                heard.add(match[1])
    return not texts.isdisjoint(heard)


def read(source: Path) -> Splits:
    """Read each text with the recording of the first microphone, or of the second if there is no first.

    The speaker is the folder of the recording, if the folder of the text has the same name. Recordings of other
    microphones are left out, and so are the recordings of texts that cannot be read.
    """
    files = walk(source)
    recordings = Recordings(source)
    texts = {(path.parent.name, path.stem): path for path in files if path.suffix.lower() == ".txt"}
    by_stem = Counter(stem for _, stem in texts)
    anywhere = {stem: path for (_, stem), path in texts.items() if by_stem[stem] == 1}
    chosen: dict[Path, Path | None] = {}
    spoken: set[tuple[Path, str]] = set()
    for path in filter(is_audio, files):
        match = _MICROPHONE.fullmatch(path.stem)
        stem = match[1] if match else path.stem
        if (path.parent, stem) in spoken:
            note("{} recording<s> of a second microphone <is|are> left out; the first is read", str(path))
        else:
            spoken.add((path.parent, stem))
            chosen[path] = texts.get((path.parent.name, stem)) or anywhere.get(stem)
    used = dict.fromkeys(text for text in chosen.values() if text is not None)
    folders = {text.parent for text in used}
    alone = [path for path in texts.values() if path not in used and path.parent in folders]
    chosen |= {path.with_suffix(".wav"): path for path in alone}
    contents = dict(read_each([*used, *alone], _transcript))
    utterances = []
    for path, text in chosen.items():
        if text is None or text in contents:
            is_speaker = text is not None and path.parent != source and text.parent.name == path.parent.name
            utterances.append(
                Utterance(
                    id=recordings.identify(path),
                    audio=path,
                    text=contents[text] if text is not None else None,
                    speaker=path.parent.name if is_speaker else None,
                )
            )
    return {"": utterances}


READER = Reader("VCTK layout", recognises, read)


def _transcript(path: Path) -> tuple[Path, str]:
    """Return a file with its text. Raises SourceError for a file of another kind than plain text."""
    text = source_text(path)
    if kind := kind_of(text):
        raise SourceError(f"{path}: is {kind}, not a plain transcript; export it as plain text")
    return path, " ".join(text.split())
