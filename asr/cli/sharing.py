"""The commands `asr card`, `asr push` and `asr archive`."""

import logging
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Model, require_own_folder
from asr.errors import AsrError

if TYPE_CHECKING:
    from asr.sharing.contents import SharedModel


def card(
    model: Model,
    title: Annotated[str | None, typer.Option(help="Title of the model, for people.")] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="Language of the model: fr, mdw, pt-BR (BCP 47). Repeatable."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="ID", help="Licence of the model: CC-BY-4.0 (SPDX), or LicenseRef-NAME.")
    ] = None,
    licence_link: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of the text of a licence that is in no list.")
    ] = None,
    author: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Author: 'Family, Given', or an organisation. Repeatable."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Where the training data comes from, in one line.")] = None,
    data_licence: Annotated[
        str | None, typer.Option(metavar="ID", help="Licence of the training data, as for --licence.")
    ] = None,
    cite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="BibTeX file with the entries to cite; the card shows them.")
    ] = None,
    score: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="REF HYP", help="References and hypotheses of test data; the card shows their score."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write (default: README.md beside MODEL).")
    ] = None,
) -> None:
    """Write the card of a model: what it is, what it learned from, how good it is, and its limits.

    Numbers come from the model file, from its manifests if they are there, and from --score. All that is not known is
    called "not stated" in the card and named on stderr. Statements of an earlier card are kept unless they are given
    anew. A card that was changed by hand is not replaced.
    """
    show_log(logging.WARNING, prefix="asr: ")
    from asr.cli.next_step import show_next
    from asr.files import require_file
    from asr.sharing.card import card_path, stated_before, write_card
    from asr.sharing.contents import SharedModel
    from asr.sharing.scores import score_files
    from asr.sharing.statement import require_link, state

    if output is None:
        require_own_folder(model, "-o")
    path = output or card_path(model)
    given = state(
        title=title,
        languages=tuple(language or ()),
        licence=licence,
        licence_link=licence_link,
        authors=tuple(author or ()),
        data=data,
        data_licence=data_licence,
        citation=cite,
    )
    statement = stated_before(path).with_later(given)
    require_link(statement)
    require_file(path)
    shared = SharedModel(model)
    found = None if score is None else score_files(*score, shared.config, shared.task)
    for line in write_card(path, shared, statement, found):
        tell(line)
    tell(f"written: {path}")
    if output is None:
        show_next("archive", _short(model), "-o", f"{model.resolve().parent.name}.zip")


def archive(
    model: Model,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NAME.zip", help="Archive to write.")],
    receipt: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Receipt to add to those beside the model, receipt*.json. Repeatable."),
    ] = None,
) -> None:
    """Write a model for an archive such as Zenodo: one zip file that holds no recordings.

    It holds the model, its card, its configuration, the log of its training, receipts, checksums, and if the card names
    title and authors, CITATION.cff and .zenodo.json. Paths of this machine and validation texts are taken out, which
    stderr tells. Equal content gives equal bytes.
    """
    from asr.files import require_file
    from asr.sharing.archive import write_archive
    from asr.sharing.contents import SharedModel

    if output.suffix.lower() != ".zip":
        raise AsrError(f"-o {output}: is a zip file; name it NAME.zip")
    require_file(output)
    shared = SharedModel(model)
    for line in write_archive(output, shared, _require_card(shared), receipt or []):
        tell(line)
    print(output)
    tell(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def push(
    model: Model,
    repository: Annotated[str, typer.Argument(metavar="REPO", help="Repository of the Hugging Face hub: USER/NAME.")],
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Exported model to add; it runs without PyTorch.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public (default: private).")] = False,
) -> None:
    """Upload a model, its card and its configuration to the Hugging Face hub, as one commit.

    The address of the model, pinned by the hash of the commit, goes to stdout. Log in before with `hf auth login`, or
    set HF_TOKEN. Paths of this machine are taken out, and named on stderr.
    """
    show_log(logging.WARNING, prefix="asr: ")
    from asr.cli.next_step import show_next
    from asr.hub import upload
    from asr.model_file import COMMANDS
    from asr.sharing.contents import CARD_FILE, CONFIG_FILE, SharedModel, shared_name

    shared = SharedModel(model)
    described = _require_card(shared)
    files = {
        CARD_FILE: described.read_bytes(),
        CONFIG_FILE: shared.config_yaml(),
        shared_name(shared): shared.content(),
    }
    if onnx is not None:
        exported = SharedModel(onnx)
        if not exported.is_exported or shared.is_exported or exported.description != shared.description:
            raise AsrError(
                f"--onnx {onnx}: was not exported from {model}; export it: asr export {quote(str(model))} -o …"
            )
        files[shared_name(exported)] = exported.content()
    for line in shared.remarks:
        tell(line)
    address = upload(repository, files, public=public, message="Upload a model of asr")
    print(address)
    if not public:
        tell("only you can load it; to let others, make it public in the settings of the repository")
    show_next(*COMMANDS[shared.task].split()[1:], str(address), "RECORDING")


def _require_card(model: "SharedModel") -> Path:
    """Return the card beside a model, and tell what it does not state.

    Raises AsrError if there is no card, or if it describes other weights.
    """
    from asr.files import read_text
    from asr.sharing.card import card_path, described_signature, missing_statements

    path, command = card_path(model.path), f"asr card {quote(str(_short(model.path)))}"
    if not path.is_file():
        raise AsrError(f"{path}: there is no card; write it first: {command}")
    content = read_text(path)
    described = described_signature(content)
    if described is None and not model.is_exported:
        tell(f"{path}: names no signature, so nobody can see which weights it describes")
    elif described not in (None, model.signature):
        raise AsrError(f"{path}: describes other weights; write it again: {command}")
    for line in missing_statements(content):
        tell(line)
    return path


def _short(model: Path) -> Path:
    from asr.model_file import MODEL_FILE

    return model.parent if model.name == MODEL_FILE else model
