"""Recordings with a text file of the same name each, or with the text in their names."""

import os
import re
from collections import Counter, defaultdict
from pathlib import Path

from asr.corpus.readers.files import Recordings, SourceError, is_audio, split_name, usual_split, walk
from asr.files import read_text
from asr.utterance import Utterance

NAME = "folder of recordings with text files"
_NOTES = frozenset(["readme", "license", "licence", "copying", "changelog"])  # not transcripts, even as .txt


def recognises(source: Path) -> bool:
    """A folder with a recording at any depth."""
    return any(is_audio(Path(name)) for _, _, names in os.walk(source) for name in names)


def read(source: Path, *, text_suffix: str | None = None, pattern: str | None = None) -> dict[str, list[Utterance]]:
    """Each recording with the text file called like it, beside it or (if only one is so called) anywhere.

    `text_suffix` is what follows the name (`.txt`, `.mb.cleaned`), needed where there are several kinds.
    `pattern` is a regular expression for the names of recordings, without suffix, from their start on, with one
    folder more before them for each `/` in it. Its groups `text`, `speaker` and `split` are taken, a `_` in the text
    for a space. Else splits are the folders called after one, if every recording lies in such. Raises SourceError
    that lists the kinds of text where the choice is not clear.
    """
    files = walk(source)
    audio = [path for path in files if is_audio(path)]
    others = [path for path in files if not is_audio(path) and path.stem.lower() not in _NOTES]
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
    splits: dict[str, list[Utterance]] = defaultdict(list)
    for split, utterance in utterances:
        splits[split if divided else ""].append(utterance)
    return dict(splits)


def _search(pattern: str, names: list[str]) -> dict[str, dict[str, str]]:
    """The groups found at the start of each name, with as many folders before it as the pattern has slashes."""
    depth = pattern.count("/")
    try:
        found = {name: match for name in names if (match := re.match(pattern, "/".join(name.split("/")[-1 - depth :])))}
    except re.error as error:
        raise SourceError(f"--pattern {pattern}: is not a regular expression: {error}") from None
    if not found:
        raise SourceError(f"--pattern {pattern}: is found in none of {len(names)} names; the first is {names[0]}")
    return {name: {key: value for key, value in match.groupdict().items() if value} for name, match in found.items()}


def _pair(audio: list[Path], others: list[Path]) -> dict[str, dict[Path, Path]]:
    """For each suffix, the file so called of each recording that has one."""
    beside = {(path.parent, path.stem): path for path in audio}
    counts = Counter(path.stem for path in audio)
    anywhere = {path.stem: path for path in audio if counts[path.stem] == 1}
    kinds: dict[str, dict[Path, Path]] = defaultdict(dict)
    for path in others:
        stem = path.name
        while "." in stem:  # the recording of x.mb.cleaned may be x.mb.wav, else x.wav
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
    problem = f"no text is called like a recording and {suffix}" if suffix else "several kinds of text"
    raise SourceError(f"{source}: {problem}; choose the one to learn:{listed}")


def _sample(path: Path) -> str | None:
    """Text of a file, None where it is none."""
    try:
        return " ".join(read_text(path, SourceError).split()) if path.stat().st_size < 1_000_000 else None
    except SourceError:
        return None


def _without_audio(texts: dict[Path, Path], others: list[Path]) -> list[Path]:
    """Adds to `texts` those of the same kind, in the same folders, whose recording is not there, and returns these."""
    if not texts:
        return []
    audio, text = next(iter(texts.items()))
    suffix = text.name.removeprefix(audio.stem)
    folders, taken = {path.parent for path in texts.values()}, set(texts.values())
    alone = [path for path in others if path.name.endswith(suffix) and path.parent in folders and path not in taken]
    absent = {path.with_name(path.name.removesuffix(suffix) + audio.suffix): path for path in alone}
    texts |= absent
    return list(absent)
