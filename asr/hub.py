"""Models at addresses of the Hugging Face hub: `hf://USER/NAME`, or `hf://USER/NAME@HASH` for equal bytes every time.

The client of the hub, huggingface_hub, is imported only for such an address. It downloads, keeps its cache, and finds
the user's token, which this program neither reads nor stores. A downloaded file is checked as any model file is.
"""

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import Path, PurePath
from typing import Any

from asr.errors import AsrError, ModelFileError, OutputError, explain
from asr.extras import install_command, missing_package
from asr.files import write_whole
from asr.model_file import DESCRIPTION_KEY, EXPORTED_SUFFIX, MODEL_FILE, read_metadata
from asr.version import __version__

EXPORTED_FILE = f"model{EXPORTED_SUFFIX}"  # name of an exported model in a repository
_MOST_BYTES = 4_000_000_000  # bytes of a model file; the largest network in practice has fewer
_PATIENCE = 20.0  # seconds without an answer about a repository
_START = re.compile(r"hf:/{1,2}")  # pathlib makes one slash of two
_NAME = r"[A-Za-z0-9][\w.-]*"
_ADDRESS = re.compile(rf"({_NAME}/{_NAME})(?:@([\w.+-]+))?(?:/(.+))?", re.ASCII)
_CACHED = re.compile(r"/models--(.+?)--(.+?)/snapshots/([0-9a-f]{40})/(.+)\Z")
_HASH = re.compile(r"[0-9a-f]{40}")
_log = logging.getLogger(__name__)


class HubError(AsrError):
    """A repository of the hub cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Address:
    """A repository `USER/NAME`, one of its revisions (a hash, branch or tag), and a file in it."""

    repository: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"hf://{self.repository}{revision}{'' if self.file is None else f'/{self.file}'}"

    @property
    def is_pinned(self) -> bool:
        """Return whether the revision is the hash of a commit, whose files never change."""
        return self.revision is not None and _HASH.fullmatch(self.revision) is not None


def is_address(path: str | PathLike[str]) -> bool:
    """Return True for an address of the hub, also for one that was made a Path, which has one slash."""
    return _START.match(_posix(path)) is not None


def parse_address(path: str | PathLike[str]) -> Address:
    """Return the parts of `hf://USER/NAME[@REVISION][/FILE]`, or of `USER/NAME`. Raises HubError for another form."""
    text = _posix(path)
    match = _ADDRESS.fullmatch(_START.sub("", text, count=1))
    if match is None:
        shown = _START.sub("hf://", text, count=1)
        raise HubError(f"{shown}: is no address of a model; write hf://USER/NAME or hf://USER/NAME@HASH")
    address = Address(*match.groups())
    if address.file is not None:
        _require_model_name(address)
    return address


def address_of(file: Path) -> Address | None:
    """Return the pinned address of a file in the cache of the hub's client; None for any other file."""
    match = _CACHED.search(file.as_posix())
    if match is None:
        return None
    return Address(f"{match[1]}/{match[2]}", match[3], None if match[4] == MODEL_FILE else match[4])


def local_file(path: str | PathLike[str]) -> Path:
    """Return the model file of an address, which is downloaded unless the cache has it.

    Of a repository with several models, `model.safetensors` is taken, or `model.onnx` where PyTorch is missing. A
    pinned file in the cache needs no network. If the hub cannot be reached, the cached revision is taken, which the log
    tells. The log also names the hash that an address without a hash led to.

    Raises HubError that names the address, and ModelFileError for a file of another program or a damaged file.
    """
    address = parse_address(path)
    found = (_cached(address) if address.is_pinned else None) or _fetched(address)
    try:
        read_metadata(found)
    except ModelFileError as error:
        raise ModelFileError(str(error).replace(str(found), f"{address} ({found.name})", 1)) from None
    return found


def upload(repository: str, files: Mapping[str, bytes], *, public: bool, message: str) -> Address:
    """Write files to `USER/NAME` of the hub as one commit, and return its address, pinned by the hash of the commit.

    A repository that does not exist is made: private, or for all to see with `public`. Raises HubError; also if the
    repository is public and `public` is not set.
    """
    address = parse_address(repository)
    if address.revision or address.file:
        raise HubError(f"{repository}: is no name of a repository; write USER/NAME")
    hub = _client(address)
    with _explained(address):
        api = hub.HfApi(library_name="asr", library_version=__version__)
        api.create_repo(address.repository, private=not public, exist_ok=True)
        is_private = api.model_info(address.repository, timeout=_PATIENCE).private
        if is_private is False and not public:
            raise HubError(f"{address}: is public: all can read what is written there; add --public if you want that")
        if is_private and public:
            _log.warning("%s: is private, and stays so; its settings on the hub make it public", address)
        operations = [hub.CommitOperationAdd(name, content) for name, content in files.items()]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)  # the hub warns about the metadata of a card
            commit = api.create_commit(address.repository, operations, commit_message=message)
    for warning in said:
        _log.warning("%s: %s", address, _one_line(warning.message))
    return Address(address.repository, commit.oid)


def _posix(path: str | PathLike[str]) -> str:
    return path.as_posix() if isinstance(path, PurePath) else str(path)


def _fetched(address: Address) -> Path:
    """Download the model file of an address that the cache does not have, or not for sure in its newest version."""
    hub = _client(address)
    api = hub.HfApi(library_name="asr", library_version=__version__)
    try:
        info = api.model_info(address.repository, revision=address.revision, files_metadata=True, timeout=_PATIENCE)
    except Exception as error:  # the client has errors of its own and of httpx, without a common base
        found = _cached(address) if _is_unreachable(error) else None
        if found is None:
            raise _explain(error, address) from None
        _log.warning("%s: the hub cannot be reached; the copy of %s is taken", address, _snapshot(found).name)
        return found
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    name = _choose(list(sizes), address)
    size = sizes[name]
    if size is None or size > _MOST_BYTES:
        raise HubError(
            f"{address}: {name} has {'an unknown number of' if size is None else size} bytes, and a model has at most "
            f"{_MOST_BYTES}; if it is one, download it by other means, and name the file"
        )
    if not address.is_pinned:
        pinned = Address(address.repository, info.sha, address.file)
        _log.warning("%s: revision %s; to get equal bytes every time, name %s", address, info.sha, pinned)
    with _explained(address):
        if name.endswith(".safetensors"):
            metadata = api.parse_safetensors_file_metadata(address.repository, name, revision=info.sha).metadata
            if DESCRIPTION_KEY not in (metadata or {}):
                raise ModelFileError(f"{address}: {name} is safetensors of another program; asr cannot use it")
        found = Path(hub.hf_hub_download(address.repository, name, revision=info.sha, library_name="asr"))
    if not address.is_pinned:
        # As the client does for a download by branch. By hash, a commit after the checks above changes nothing.
        refs = _snapshot(found).parent.parent / "refs"
        with suppress(OutputError):  # a cache that cannot be written
            write_whole(refs / (address.revision or "main"), str(info.sha).encode())
    return found


def _client(address: Address) -> Any:
    """Import the client of the hub. Raises AsrError that names the extra which installs it."""
    try:
        import huggingface_hub
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise missing_package(error, str(address)) or error from None
    if sys.stderr is None or not sys.stderr.isatty():  # a log, in which a bar is one long line
        disable_progress_bars()
    return huggingface_hub


def _cached(address: Address) -> Path | None:
    """Return the model file of an address in the cache of the hub's client, or None."""
    hub = _client(address)
    usual = [f"model{suffix}" for suffix in _suffixes()]
    for name in [address.file] if address.file else usual:
        found = hub.try_to_load_from_cache(address.repository, name, revision=address.revision)
        if isinstance(found, str):
            return Path(found)
    return None


def _snapshot(file: Path) -> Path:
    """Return the folder of the revision that a file in the cache belongs to; the folder has the hash as its name."""
    return next(folder for folder in file.parents if folder.parent.name == "snapshots")


def _suffixes() -> tuple[str, ...]:
    """Return the suffixes of model files that this installation can load, the preferred one first."""
    return (".safetensors", EXPORTED_SUFFIX) if find_spec("torch") else (EXPORTED_SUFFIX,)


def _choose(names: Sequence[str], address: Address) -> str:
    """Return the name of the model file in a repository. Raises HubError if there is none, or no sure one."""
    if address.file is not None:
        if address.file not in names:
            raise HubError(f"{address}: the repository has no such file; it has {_listed(names)}")
        return address.file
    for suffix in _suffixes():
        found = [name for name in names if name.endswith(suffix) and "/" not in name]
        usual = f"model{suffix}"
        if usual in found or len(found) == 1:
            return usual if usual in found else found[0]
        if found:
            raise HubError(f"{address}: has several models, {_listed(found)}; name one: {address}/{found[0]}")
    if MODEL_FILE in names:  # PyTorch is missing
        raise HubError(
            f"{address}: has no exported model (.onnx), and {MODEL_FILE} needs PyTorch: {install_command('train')}"
        )
    raise HubError(f"{address}: has no model of asr (.safetensors or .onnx); it has {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "") or "no file"


def _require_model_name(address: Address) -> None:
    parts = str(address.file).split("/")
    if not str(address.file).endswith((".safetensors", EXPORTED_SUFFIX)) or not all(
        re.fullmatch(rf"{_NAME}", part, re.ASCII) for part in parts
    ):
        raise HubError(f"{address}: must end with a model file, NAME.safetensors or NAME.onnx, or without a file")


@contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Turn an error of the client in the block into a HubError that says what to do."""
    try:
        yield
    except AsrError:
        raise
    except Exception as error:  # the client has errors of its own and of httpx, without a common base
        raise _explain(error, address) from None


def _is_unreachable(error: Exception) -> bool:
    """Return whether an error means that the hub gave no answer, or none of its own."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status >= 500 if isinstance(status, int) else _is_network(error)


def _is_network(error: Exception) -> bool:
    module = type(error).__module__.partition(".")[0]
    return isinstance(error, ConnectionError | TimeoutError) or module in ("httpx", "httpx2", "requests")


def _explain(error: Exception, address: Address) -> Exception:
    """Return the HubError for an error of the client, or the error itself if it is a bug."""
    from huggingface_hub import errors

    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return HubError(f"{address}: its owner asks for consent; agree on the page of the repository, then {log_in}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(f"{address}: no such repository, or it is private; check the name, or {log_in}")
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"{address}: the repository has no revision {address.revision}; leave it out for the newest")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(
            f"{address}: is not in the cache, and HF_HUB_OFFLINE forbids to download it; unset HF_HUB_OFFLINE, or load "
            "the model once on a network"
        )
    if status == 401 or isinstance(error, errors.LocalTokenNotFoundError):
        return HubError(f"{address}: the hub does not accept the token, or there is none; {log_in}")
    if status == 403:
        return HubError(f"{address}: the token does not allow this; make one that may write there, then {log_in}")
    if status == 429:
        return HubError(f"{address}: the hub answers no more requests for now; try again in some minutes")
    if status is not None:
        said = getattr(error, "server_message", None) or getattr(error.response, "reason_phrase", "")  # type: ignore[attr-defined]
        return HubError(f"{address}: the hub answers {status} {_one_line(said)}".rstrip() + "; try later")
    if _is_network(error):
        return HubError(
            f"{address}: the hub cannot be reached ({_one_line(error)}); check the network; a model that was loaded "
            "once is also found without network, by its hash"
        )
    if isinstance(error, errors.HFValidationError | errors.SafetensorsParsingError):
        return HubError(f"{address}: {_one_line(error)}; check the address")
    if isinstance(error, json.JSONDecodeError):
        return HubError(f"{address}: the answer is none of a hub; check HF_ENDPOINT, proxies and the network")
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # an upload in a thread failed
        return _explain(error.__cause__, address)
    if isinstance(error, ValueError):  # the client refuses what shall be written
        return HubError(f"{address}: {_one_line(error)}; correct it, and try again")
    if isinstance(error, OSError) and error.errno is None:  # the client was cut short, or this is no hub
        return HubError(f"{address}: {_one_line(error)}; try again")
    return explain(error, str(address)) or error


def _one_line(said: object) -> str:
    """Return what the client or the hub says in one line of a bounded length."""
    return (" ".join(str(said).split()) or type(said).__name__)[:300].rstrip(".")
