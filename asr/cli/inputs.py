"""Arguments of the command line -> recordings: files, folders, globs, manifests, standard input."""

import glob
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from asr.audio import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from asr.cli.log import tell
from asr.containers import container_of, read_head
from asr.corpus.manifest import SUFFIXES, read_manifest
from asr.corpus.parquet import SUFFIX as PARQUET
from asr.corpus.parquet import read_parquet
from asr.errors import AsrError
from asr.model_file import EXPORTED_SUFFIX, MODEL_FILE, MODEL_SUFFIX, find_model
from asr.utterance import Utterance
from asr.writers.names import Source


def divide_models(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Divide arguments into the models that they begin with, and the recordings that follow.

    A model is a file `.safetensors` or `.onnx`, or a folder that holds `model.safetensors` and no recording. The last
    argument is no folder of a model: it is what to transcribe. Raises ModelFileError for a folder of a run that has
    not ended.
    """
    models: list[Path] = []
    for number, argument in enumerate(arguments, start=1):
        path = Path(argument)
        is_file = path.suffix in (MODEL_SUFFIX, EXPORTED_SUFFIX)
        if not is_file and not (number < len(arguments) and _is_model_folder(path)):
            break
        models.append(find_model(path))
    return models, list(arguments[len(models) :])


def find_recordings(arguments: Sequence[str], folder: Path) -> list[Source]:
    """Find the recordings that arguments name, in their order, each with the name of its outputs.

    A folder is searched with all folders in it, and its tree is mirrored in the names. The utterances of a manifest are
    named by their ids. `-` is standard input, which is kept as a file in `folder`. A missing file is not an error here:
    its reader names it, and also a link that leads nowhere. Raises AsrError for a folder or a glob without recordings.
    """
    found: list[Source] = []
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            path = folder / "stdin"
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            found.append(Source(Utterance("-", path), "stdin"))
        elif not argument:
            raise AsrError("INPUT '': is an empty name; name recordings, or . for the current folder")
        elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises OSError for a name that is too long
            inside, closed = _files_in(path)
            found += [_source(one, Path(one.name)) for one in closed]  # its reader says why it cannot be read
            if inside or not closed:
                found += _all_in(argument, inside, path)
        elif path.suffix in SUFFIXES:
            found += [Source(utterance, utterance.id) for utterance in read_manifest(path)]
        elif path.suffix == PARQUET:
            found += [Source(utterance, utterance.id) for utterance in read_parquet(path)]
        elif glob.has_magic(argument) and not os.path.exists(path):  # noqa: PTH110
            files = glob.glob(argument, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            found += _all_in(argument, sorted(map(Path, files)), None)
        else:
            found.append(_source(path, Path(path.name)))
    return found


def find_untranscribed(arguments: Sequence[str]) -> list[Utterance]:
    """Find the recordings without texts that `--untranscribed` names. Raises AsrError as `find_recordings` does."""
    if "-" in arguments:
        raise AsrError("--untranscribed -: name a manifest or a folder; standard input is one recording")
    return [source.utterance for source in find_recordings(arguments, Path())]


def parse_channels(value: str) -> Literal["mix", "split"] | int:
    """Read the value of `--channels`. Raises AsrError for a value that it cannot have."""
    if value == "mix":
        return "mix"
    if value == "split":
        return "split"
    if value.isdecimal() and int(value) > 0:
        return int(value)
    raise AsrError(f"--channels {value}: must be mix, split, or the number of a channel, from 1")


def require_no_input(output: Path | None, arguments: Sequence[str], option: str = "-o") -> None:
    """Raise AsrError if `output`, the value of `option`, is a file that arguments name: it would be replaced."""
    if output is None or not _is_file(output):
        return
    for argument in map(Path, arguments):
        if _is_file(argument) and output.samefile(argument):
            raise AsrError(f"{option} {output}: is also an input, which would be replaced; choose another name")


def _is_model_folder(path: Path) -> bool:
    """Return True for a folder that holds `model.safetensors` and no recording."""
    if not _is_file(path / MODEL_FILE):
        return False
    return all(file.suffix.lower() not in AUDIO_SUFFIXES for file in path.iterdir())


def _source(file: Path, name: Path) -> Source:
    shown = os.fsencode(file).decode("utf-8", "backslashreplace")
    if shown != str(file):
        tell(f"{shown}: its name is not UTF-8; results call it by this name")
    return Source(Utterance(shown, file), str(name.with_suffix("")), name.suffix)


def _files_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files in a folder and in all folders in it, and the folders that cannot be read.

    A link to a folder is not searched, and named on stderr.
    """
    found: list[Path] = []
    closed: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        linked = [Path(root, name) for name in folders if Path(root, name).is_symlink()]
        for link in linked:
            tell(f"{link}: is a link to a folder, which is not searched")
        found += [file for name in names if _is_file(file := Path(root, name)) or _leads_nowhere(file)]
    return sorted(found), closed


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises OSError for a name that is too long


def _all_in(argument: str, files: Sequence[Path], root: Path | None) -> list[Source]:
    """Return the recordings among files: by their suffix, else by their content; count all other files on stderr.

    A video beside its sound (`a.mp4` and `a.wav`, as sessions for ELAN have them) is one recording: the sound.
    """
    visible = [file for file in files if not file.name.startswith(".")]
    recordings = [file for file in visible if file.suffix.lower() in AUDIO_SUFFIXES or _holds_audio(file)]
    others = Counter(file.suffix or file.name for file in set(visible) - set(recordings))
    if not recordings:
        corpus = f"if it is a corpus, make a manifest of it: asr prepare {shlex.quote(argument)} -o data/NAME"
        found = f"; found {_counted(others)}; {corpus}" if others else ""
        raise AsrError(f"{argument}: holds no recordings ({' '.join(AUDIO_SUFFIXES)}){found}")
    if others:
        tell(f"{argument}: not recordings: {_counted(others)}")
    sounds = {file.with_suffix("") for file in recordings if file.suffix.lower() not in VIDEO_SUFFIXES}
    videos = [file for file in recordings if file.suffix.lower() in VIDEO_SUFFIXES and file.with_suffix("") in sounds]
    if videos:
        tell(f"{argument}: {len(videos)} videos are left out, because their sound is beside them: {videos[0].name}")
        recordings = sorted(set(recordings) - set(videos))
    return [_source(file, file.relative_to(root) if root else Path(file.name)) for file in recordings]


def _leads_nowhere(file: Path) -> bool:
    return file.is_symlink() and not file.exists()


def _holds_audio(file: Path) -> bool:
    try:
        return file.is_file() and container_of(read_head(file)) is not None
    except OSError:  # a link to nothing, or a closed file: counted with the files that are not recordings
        return False


def _counted(others: Counter[str]) -> str:
    return ", ".join(f"{suffix} ({number})" for suffix, number in sorted(others.items()))
