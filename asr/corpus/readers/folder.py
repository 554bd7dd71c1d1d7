"""Reader of folders: each recording with a text file of the same name, or with the text in its own name."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio, split_name, usual_split, walk
from asr.corpus.readers.kinds import document_of, kind_of
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import fault, peek, read_each, source_text
from asr.corpus.readers.recordings import Recordings
from asr.errors import raise_problems
from asr.utterance import Utterance

NOT_TRANSCRIPTS = frozenset(["readme", "license", "licence", "copying", "changelog"])
_SAMPLES = 5  # text files of a kind that are looked at before it is given up
_LONGEST = 1_000_000  # bytes of a transcript


def recognises(source: Path) -> bool:
    """Return True for a folder with a recording at any depth."""
    return any(is_audio(Path(name)) for _, _, names in os.walk(source) for name in names)


def read(source: Path, *, text_suffix: str | None = None, pattern: str | None = None) -> Splits:
    """Read each recording with the text file of the same name, in its folder or elsewhere (see `recordings.py`).

    `text_suffix` is the end of the text files' names after the name of the recording (`.txt`, `.mb.cleaned`). It is
    needed if there are several kinds of text files. A file of subtitles, labels or markup is no transcript: it is
    named, and not read.

    `pattern` is a regular expression that is matched at the start of the recordings' names, without suffix. Each `/` in
    it adds one folder before the name. Its groups `text`, `speaker` and `split` are taken; a `_` in the text becomes a
    space. Without a group `split`, a folder named after a split holds that split, if every recording is in such a
    folder. Raises SourceError that lists the kinds of text files if the choice is not clear.
    """
    recordings = Recordings(source)
    audio = recordings.in_one_format()
    others = [path for path in walk(source) if not is_audio(path) and path.stem.lower() not in NOT_TRANSCRIPTS]
    in_name = _search(pattern, [recordings.identify(path) for path in audio]) if pattern else {}
    texts: dict[Path, Path] = {}
    if not any("text" in groups for groups in in_name.values()):
        texts = _choose(source, *_kinds(recordings, others), text_suffix, len(audio))
    alone = _without_audio(texts, others)
    contents = dict(read_each(texts.values(), _transcript))
    faulty = {path for path, text in texts.items() if text not in contents}
    utterances: list[tuple[str, Utterance]] = []
    for path in audio + alone:
        if path in faulty:
            continue
        name = recordings.identify(path)
        groups = in_name.get(name, {})
        text = contents[texts[path]] if path in texts else groups.get("text", "").replace("_", " ")
        split = groups.get("split") or next(filter(None, map(split_name, Path(name).parts[:-1])), "")
        utterances.append(
            (usual_split(split), Utterance(name, path, " ".join(text.split()) or None, speaker=groups.get("speaker")))
        )
    divided = all(split for split, _ in utterances)
    splits: Splits = defaultdict(list)
    for split, utterance in utterances:
        splits[split if divided else ""].append(utterance)
    return dict(splits)


READER = Reader("folder of recordings with text files", recognises, read, is_fallback=True, tracks_files=True)


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


def _kinds(recordings: Recordings, others: list[Path]) -> tuple[dict[str, dict[Path, Path]], dict[str, list[str]]]:
    """Return, for each suffix of text files in lower case, the text file of each recording, and what is not clear."""
    kinds: dict[str, dict[Path, Path]] = defaultdict(dict)
    problems: dict[str, list[str]] = defaultdict(list)
    for path, (recording, rest) in recordings.pair(others).items():
        suffix = rest.lower()
        if isinstance(recording, ValueError):
            problems[suffix].append(f"{path}: {recording}")
        elif recording is not None and recording in kinds[suffix]:
            problems[suffix].append(f"{path}: {kinds[suffix][recording]} is also a text of {recording}; remove one")
        elif recording is not None:
            kinds[suffix][recording] = path
    return {suffix: texts for suffix, texts in kinds.items() if texts}, problems


def _choose(
    source: Path,
    kinds: Mapping[str, dict[Path, Path]],
    problems: Mapping[str, list[str]],
    suffix: str | None,
    total: int,
) -> dict[Path, Path]:
    """Return the text files of the only kind that is plain text, or of the kind `suffix`, by recording."""
    samples: dict[str, str] = {}
    faults: dict[str, SourceError] = {}
    for kind, texts in kinds.items():
        try:
            _, samples[kind] = _first_transcript(list(texts.values())[:_SAMPLES])
        except SourceError as error:
            faults[kind] = error
    chosen = suffix.lower() if suffix else next(iter(samples)) if len(samples) == 1 else ""
    if chosen in kinds:
        for problem in problems.get(chosen, []):
            fault(problem)
        return dict(kinds[chosen])
    if suffix is None and not samples:
        if faults:
            raise next(iter(faults.values()))
        raise_problems([problem for found in problems.values() for problem in found], SourceError)
        return {}
    listed = "".join(
        f"\n  --text-suffix {kind:<14} {len(kinds[kind]):>6} of {total} recordings: {sample[:60]}"
        for kind, sample in sorted(samples.items())
    )
    problem = f"no text file has the name of a recording and the suffix {suffix}" if suffix else "several kinds of text"
    raise SourceError(f"{source}: {problem}; choose the one to learn:{listed}")


def _first_transcript(paths: list[Path]) -> tuple[Path, str]:
    """Return the first file that is a transcript with words, or else an empty one. Raises SourceError if none is."""
    faults, found = [], []
    for path in paths:
        try:
            found.append(_transcript(path, peek))
        except SourceError as error:
            faults.append(error)
    found.sort(key=lambda sample: not sample[1])
    if not found or (faults and not found[0][1]):
        raise faults[0]
    return found[0]


def _transcript(path: Path, read_file: Callable[[Path], str] = source_text) -> tuple[Path, str]:
    """Return the path and the text of a file, with single spaces between words. Raises SourceError."""
    if document := document_of(path.suffix):
        raise SourceError(f"{path}: {document}")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None
    if size > _LONGEST:
        raise SourceError(f"{path}: has {size} bytes, too many for the transcript of one recording; divide it")
    text = read_file(path)
    if kind := kind_of(text):
        raise SourceError(
            f"{path}: holds {kind}, not a plain transcript; export it as plain text, as a table with a row for each "
            "recording, or as an annotation of ELAN or Praat"
        )
    return path, " ".join(text.split())


def _without_audio(texts: dict[Path, Path], others: list[Path]) -> list[Path]:
    """Add to `texts` the text files whose recording is missing; return the paths that these recordings should have.

    Only plain text files with the suffix and in the folders of the others count.
    """
    if not texts:
        return []
    audio, text = next(iter(texts.items()))
    suffix = text.name.removeprefix(audio.stem)
    folders, taken = {path.parent for path in texts.values()}, set(texts.values())
    alone = [path for path in others if path.name.endswith(suffix) and path.parent in folders and path not in taken]
    absent = {}
    for path in alone:
        try:
            _transcript(path, peek)
        except SourceError:
            continue  # it is named with the files that were not used
        absent[path.with_name(path.name.removesuffix(suffix) + audio.suffix)] = path
    texts |= absent
    return list(absent)
