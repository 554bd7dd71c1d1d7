"""Reader of Kaldi data directories: `wav.scp` with plain paths, `text`, and optional `segments` and `utt2spk`."""

from pathlib import Path
from shlex import quote

from asr.corpus.readers.files import SourceError, find_from_above, is_file, usual_split
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import numbered_lines
from asr.corpus.readers.recordings import Recordings
from asr.errors import raise_problems
from asr.utterance import Utterance

# Make a file of each command, leave paths as they are, and keep the old list. No command may read the list.
_LOOP = (
    """d={0}; mkdir -p "$d/wav"; [ -e "$d/wav.scp.commands" ] || cp "$d/wav.scp" "$d/wav.scp.commands"; """
    """tr -d '\\r' <"$d/wav.scp.commands" | while read -r id value || [ -n "$id" ]; do case "$value" in """
    """*"|") f="$d/wav/$(printf %s "$id" | tr / _).wav"; if eval "${{value%|}}" </dev/null >"$f"; """
    """then echo "$id $f"; else rm -f "$f"; echo "failed: $id" >&2; fi ;; """
    """*) echo "$id $value" ;; esac; done >"$d/wav.scp\""""
)


def recognises(source: Path) -> bool:
    """Return True for a folder with `wav.scp`, or with one such folder per split."""
    return (source / "wav.scp").is_file() or bool(_split_folders(source))


def read(source: Path) -> Splits:
    """Read one data directory, or one per split.

    A path in `wav.scp` is relative to the data directory or one of the two folders above it; a path of another machine
    is looked for under `source` (see `recordings.py`). Commands in `wav.scp` are never run; SourceError names them.
    """
    recordings = Recordings(source)
    if (source / "wav.scp").is_file():
        return {"": _read_directory(source, recordings)}
    return {usual_split(folder.name): _read_directory(folder, recordings) for folder in _split_folders(source)}


READER = Reader("Kaldi data directory", recognises, read)


def _split_folders(source: Path) -> list[Path]:
    try:
        return sorted(path.parent for path in source.glob("*/wav.scp"))
    except OSError:
        return []


def _read_directory(folder: Path, found: Recordings) -> list[Utterance]:
    recordings = _read_recordings(folder / "wav.scp", found)
    texts = _read_pairs(folder / "text")
    speakers = _read_pairs(folder / "utt2spk")
    segments = _read_segments(folder / "segments") or {name: (name, 0.0, None) for name in recordings}
    unused = recordings.keys() - {recording for recording, _, _ in segments.values()}
    segments |= {name: (name, 0.0, None) for name in unused | (texts.keys() - segments.keys())}
    return [
        Utterance(
            id=name,
            audio=recordings.get(recording, folder / recording),
            text=texts.get(name),
            offset=offset,
            duration=duration,
            speaker=None if speakers.get(name) == name else speakers.get(name),  # in Kaldi, this means "not known"
        )
        for name, (recording, offset, duration) in sorted(segments.items())
    ]


def _read_pairs(path: Path) -> dict[str, str]:
    """Return the first word of each line -> the rest of the line; nothing if the file does not exist."""
    pairs: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems = []
    for line, content in numbered_lines(path) if path.is_file() else []:
        key, *rest = content.split(maxsplit=1)
        if key in pairs:
            first = f"{key} is in the file twice, first in line {lines[key]}"
            problems.append(f"{path}:{line}: {first}; run Kaldi's utils/fix_data_dir.sh")
        pairs[key] = rest[0] if rest else ""
        lines.setdefault(key, line)
    raise_problems(problems, SourceError)
    return pairs


def _read_recordings(path: Path, found: Recordings) -> dict[str, Path]:
    recordings: dict[str, Path] = {}
    absent: dict[str, str] = {}
    problems, commands = [], []
    for name, value in _read_pairs(path).items():
        if value.endswith("|"):
            commands.append(f"{path}: {name} is a command, which is not run: {value}")
        elif not value or value.rpartition(":")[2].isdigit():
            problems.append(
                f"{path}: {name} is {value or 'empty'}, not an audio file; extract it with Kaldi's wav-copy"
            )
        else:
            recordings[name] = find_from_above(path.parent, value)
            if not is_file(recordings[name]):
                absent[name] = value
    elsewhere = found.find_all(absent.values(), path.parent) if absent else {}
    for name, value in absent.items():
        audio = elsewhere[value]
        if isinstance(audio, ValueError):
            problems.append(f"{path}: {name}: {audio}")
        else:
            recordings[name] = audio
    if commands:
        more = f" and {len(commands) - 3} more" if len(commands) > 3 else ""
        loop = _LOOP.format(quote(str(path.parent.absolute())))
        cure = f"{path}: check these commands{more}, run all where you use Kaldi, and prepare again:\n  {loop}"
        problems = [*commands[:3], cure, *problems]
    raise_problems(problems, SourceError)
    return recordings


def _read_segments(path: Path) -> dict[str, tuple[str, float, float | None]]:
    """Return utterance -> recording, offset and duration; an end of -1 means the end of the recording."""
    segments: dict[str, tuple[str, float, float | None]] = {}
    problems = []
    for name, value in _read_pairs(path).items():
        try:
            recording, *times = value.split()
            start, end = map(float, times)
            if not (0 <= start < end < 1e7 or (0 <= start < 1e7 and end == -1)):
                raise ValueError
            segments[name] = recording, start, None if end == -1 else round(end - start, 6)
        except ValueError:
            problems.append(f"{path}: {name} is {value!r}; must be: recording, start, and a later end in seconds")
    raise_problems(problems, SourceError)
    return segments
