"""Reader of folders: each recording with a text file of the same name, or with the text in its own name."""

import os
import re
from collections import Counter, defaultdict
from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio, split_name, usual_split, walk
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.recordings import Recordings
from asr.files import read_text
from asr.utterance import Utterance

_NOT_TRANSCRIPTS = frozenset(["readme", "license", "licence", "copying", "changelog"])


def recognises(source: Path) -> bool:
    """Return True for a folder with a recording at any depth."""
    return any(is_audio(Path(name)) for _, _, names in os.walk(source) for name in names)


def read(source: Path, *, text_suffix: str | None = None, pattern: str | None = None) -> Splits:
    """Read each recording with the text file of the same name, in its folder or, if the name is unique, anywhere.

    `text_suffix` is the end of the text files' names after the name of the recording (`.txt`, `.mb.cleaned`). It is
    needed if there are several kinds of text files.

    `pattern` is a regular expression that is matched at the start of the recordings' names, without suffix. Each `/` in
    it adds one folder before the name. Its groups `text`, `speaker` and `split` are taken; a `_` in the text becomes a
    space. Without a group `split`, a folder named after a split holds that split, if every recording is in such a
    folder. Raises SourceError that lists the kinds of text files if the choice is not clear.
    """
    files = walk(source)
    audio = [path for path in files if is_audio(path)]
    others = [path for path in files if not is_audio(path) and path.stem.lower() not in _NOT_TRANSCRIPTS]
    recordings = Recordings(source)
    in_name = _search(pattern, [recordings.identify(path) for path in audio]) if pattern else {}
    texts: dict[Path, Path] = {}
    if not any("text" in groups for groups in in_name.values()):
        texts = _choose(source, _pair(audio, others), text_suffix, len(audio))
    utterances: list[tuple[str, Utterance]] = []
    for path in audio + _without_audio(texts, others):
        name = recordings.identify(path)
        groups = in_name.get(name, {})
        text = read_text(texts[path], SourceError) if path in texts else groups.get("text", "").replace("_", " ")
        split = groups.get("split") or next(filter(None, map(split_name, Path(name).parts[:-1])), "")
        utterances.append(
            (usual_split(split), Utterance(name, path, " ".join(text.split()) or None, speaker=groups.get("speaker")))
        )
    divided = all(split for split, _ in utterances)
    splits: Splits = defaultdict(list)
    for split, utterance in utterances:
        splits[split if divided else ""].append(utterance)
    return dict(splits)


READER = Reader("folder of recordings with text files", recognises, read, is_fallback=True)


def _search(pattern: str, names: list[str]) -> dict[str, dict[str, str]]:
    """Match the pattern at the start of each name, after as many folders as the pattern has slashes; return groups."""
    depth = pattern.count("/")
    try:
        found = {name: match for name in names if (match := re.match(pattern, "/".join(name.split("/")[-1 - depth :])))}
    except re.error as error:
        raise SourceError(f"--pattern {pattern}: is not a regular expression ({error}); correct it") from None
    if not found:
        raise SourceError(
            f"--pattern {pattern}: matches the start of none of {len(names)} names; the first is {names[0]}"
        )
    return {name: {key: value for key, value in match.groupdict().items() if value} for name, match in found.items()}


def _pair(audio: list[Path], others: list[Path]) -> dict[str, dict[Path, Path]]:
    """Return, for each suffix of text files, the text file of each recording that has one."""
    beside = {(path.parent, path.stem): path for path in audio}
    counts = Counter(path.stem for path in audio)
    anywhere = {path.stem: path for path in audio if counts[path.stem] == 1}
    kinds: dict[str, dict[Path, Path]] = defaultdict(dict)
    for path in others:
        stem = path.name
        while "." in stem:  # the recording of x.mb.cleaned may be x.mb.wav or x.wav
            stem = stem.rpartition(".")[0]
            recording = beside.get((path.parent, stem)) or anywhere.get(stem)
            if recording is not None:
                kinds[path.name.removeprefix(stem)][recording] = path
                break
    return kinds


def _choose(source: Path, kinds: dict[str, dict[Path, Path]], suffix: str | None, total: int) -> dict[Path, Path]:
    samples = {kind: _sample(next(iter(files.values()))) for kind, files in kinds.items()}
    readable = {kind: sample for kind, sample in samples.items() if sample is not None}
    if suffix in kinds or (suffix is None and len(readable) == 1):
        return kinds[suffix or next(iter(readable))]
    if suffix is None and not readable:
        return {}
    listed = "".join(
        f"\n  --text-suffix {kind:<14} {len(kinds[kind]):>6} of {total} recordings: {sample[:60]}"
        for kind, sample in sorted(readable.items())
    )
    problem = f"no text file has the name of a recording and the suffix {suffix}" if suffix else "several kinds of text"
    raise SourceError(f"{source}: {problem}; choose the one to learn:{listed}")


def _sample(path: Path) -> str | None:
    """Return the text of a file; None if it is not a text file."""
    try:
        return " ".join(read_text(path, SourceError).split()) if path.stat().st_size < 1_000_000 else None
    except SourceError:
        return None


def _without_audio(texts: dict[Path, Path], others: list[Path]) -> list[Path]:
    """Add to `texts` the text files whose recording is missing; return the paths that these recordings should have.

    Only text files with the suffix and in the folders of the others count.
    """
    if not texts:
        return []
    audio, text = next(iter(texts.items()))
    suffix = text.name.removeprefix(audio.stem)
    folders, taken = {path.parent for path in texts.values()}, set(texts.values())
    alone = [path for path in others if path.name.endswith(suffix) and path.parent in folders and path not in taken]
    absent = {path.with_name(path.name.removesuffix(suffix) + audio.suffix): path for path in alone}
    texts |= absent
    return list(absent)
