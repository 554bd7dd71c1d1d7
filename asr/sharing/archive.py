"""The archive of a model for repositories such as Zenodo: a zip file without audio, equal bytes for equal content."""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from asr.containers import HEAD, container_of
from asr.errors import AsrError
from asr.files import read_bytes, to_json, whole_file
from asr.sharing.card import stated_before
from asr.sharing.contents import CARD_FILE, SharedModel, run_files, shared_name
from asr.sharing.licences import is_spdx
from asr.sharing.statement import Statement

CHECKSUMS_FILE = "SHA256SUMS"
_CITATION_FILE, _BIBTEX_FILE, _ZENODO_FILE = "CITATION.cff", "citation.bib", ".zenodo.json"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first time that a zip file can state


def write_archive(path: Path, model: SharedModel, card: Path, receipts: Sequence[Path] = ()) -> list[str]:
    """Write the archive of a model: model, card, configuration, log, receipts, citation and checksums.

    Receipts are `receipt*.json` beside the model, and those of `receipts`. Files are stored without compression and
    dates, so equal content gives equal bytes on each machine. Returns what was changed, and what is left out.

    Raises OutputError, and AsrError for a receipt that is no JSON.
    """
    statement = stated_before(card)
    files, remarks = run_files(model)
    files |= {shared_name(model): model.content(), CARD_FILE: read_bytes(card)}
    for receipt in dict.fromkeys([*sorted(model.path.parent.glob("receipt*.json")), *receipts]):
        if receipt.name in files:
            raise AsrError(f"--receipt {receipt}: the archive has another file {receipt.name}; rename one")
        files[receipt.name], found = _receipt(receipt)
        remarks += found
    if statement.citation is not None:
        files[_BIBTEX_FILE] = f"{statement.citation}\n".encode()
    if statement.title is not None and statement.authors:
        files[_CITATION_FILE] = yaml.safe_dump(_cff(statement), sort_keys=False, allow_unicode=True).encode()
        files[_ZENODO_FILE] = (to_json(_zenodo(statement), indent=2) + "\n").encode()
    else:
        remarks.append(f"{_CITATION_FILE} and {_ZENODO_FILE}: left out; state --title and --author with asr card")
    _require_no_audio(files)
    files[CHECKSUMS_FILE] = "".join(
        f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)
    ).encode()
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{path.stem}/{name}", _EARLIEST)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a file of Unix that all may read
            archive.writestr(entry, files[name])
    return remarks


def _receipt(path: Path) -> tuple[bytes, list[str]]:
    """Return a receipt as it is, since digests may hold for it, and a line if it names paths of this machine."""
    content = read_bytes(path)
    try:
        paths = _absolute_paths(json.loads(content))
    except (ValueError, RecursionError):
        raise AsrError(f"{path}: is no JSON, so it is no receipt; name another file") from None
    said = f"{path}: names paths of this machine, such as {paths[0]}, and is archived as it is" if paths else None
    return content, [said] if said else []


def _absolute_paths(tree: Any) -> list[str]:
    if isinstance(tree, dict):
        return [path for value in tree.values() for path in _absolute_paths(value)]
    if isinstance(tree, list):
        return [path for value in tree for path in _absolute_paths(value)]
    is_path = isinstance(tree, str) and len(tree) > 1 and "\n" not in tree
    return [tree] if is_path and (PurePosixPath(tree).is_absolute() or PureWindowsPath(tree).is_absolute()) else []


def _require_no_audio(files: Mapping[str, bytes]) -> None:
    """Raise AsrError for a recording: an archive may go to people who must not hear the data."""
    for name, content in files.items():
        if container_of(content[:HEAD]) is not None:
            raise AsrError(f"{name}: is a recording, and archives of models have none; take it out")


def _cff(statement: Statement) -> dict[str, Any]:
    """Return the content of CITATION.cff. https://github.com/citation-file-format/citation-file-format"""
    tree: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this model, please cite it as below.",
        "type": "software",
        "title": statement.title,
        "authors": [_cff_author(author) for author in statement.authors],
    }
    if statement.licence is not None and is_spdx(statement.licence):
        tree["license"] = statement.licence
    elif statement.licence_link is not None:
        tree["license-url"] = statement.licence_link
    return tree


def _cff_author(author: str) -> dict[str, str]:
    family, comma, given = (part.strip() for part in author.partition(","))
    return {"family-names": family, "given-names": given} if comma and given else {"name": author}


def _zenodo(statement: Statement) -> dict[str, Any]:
    """Return the metadata of a deposit. https://developers.zenodo.org"""
    tree: dict[str, Any] = {
        "title": statement.title,
        "upload_type": "other",
        "creators": [{"name": author} for author in statement.authors],
        "description": f"Model for speech, its card, configuration and log. {CARD_FILE} describes it.",
        "keywords": ["speech recognition", *statement.languages],
    }
    if statement.licence is not None and is_spdx(statement.licence):
        tree["license"] = statement.licence.lower()
    if statement.languages and len(code := statement.languages[0].partition("-")[0]) == 3:
        tree["language"] = code
    return tree
