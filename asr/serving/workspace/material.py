"""The material of a training: what people checked, annotated or read, prepared and checked as a corpus."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from asr.corpus.manifest import scan_manifest, write_manifest
from asr.errors import AsrError, ManifestError
from asr.serving.workspace import checked, commands, prompt_files
from asr.serving.workspace.annotated import annotation_files
from asr.serving.workspace.lock import locked
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.saved import json_file, open_document
from asr.serving.workspace.training import DATA, has_splits, next_name
from asr.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `asr prepare` and `asr check` say of the material, and the name that the model will have if it is enough."""

    lines: tuple[str, ...]
    problems: tuple[str, ...]
    name: str | None


def prepare(workspace: Workspace, sources: Sequence[str], taken: Collection[str] = ()) -> Prepared:
    """Prepare and check the material for the next training: checked segments, annotations, the takes of prompts.

    `sources` are ids of recordings or of folders, "prompts", or "." for all. `taken` are names of models in use. Raises
    AsrError if nothing of it is checked, OutputError.
    """
    name = next_name(workspace, taken)
    chosen, problems = _chosen(workspace, sources)
    if not chosen:
        more = f"; {problems[0]}" if problems else ""
        raise AsrError(
            f"nothing here is checked yet; correct a recording, or record prompts, and mark it checked{more}"
        )
    with locked(workspace):
        manifest = workspace.root / DATA / f"{name}.jsonl"
        write_manifest(manifest, chosen)
        for old in (workspace.root / DATA / name).glob("*.jsonl"):  # of what was chosen before
            old.unlink()
    folder = f"{DATA}/{name}"
    prepared = commands.run(workspace, "prepare", f"{folder}.jsonl", "-o", folder)
    lines, problems = [*prepared.lines], [*problems, *prepared.problems]
    is_enough = has_splits(workspace.root / folder)
    if is_enough:
        found = commands.run(workspace, "check", folder)
        lines += found.lines
        problems += found.problems
    else:
        problems.append(
            "this is not enough to train on: some utterances must be left for validation; check or record more"
        )
    return Prepared(tuple(lines), tuple(problems), name if is_enough else None)


def _chosen(workspace: Workspace, sources: Sequence[str]) -> tuple[list[Utterance], list[str]]:
    """Return the checked utterances of `sources`, and what cannot be read or was guessed."""
    chosen, problems = _annotated(workspace, sources)
    for manifest in (workspace.root / checked.NAME, workspace.root / prompt_files.FOLDER / prompt_files.MANIFEST):
        if not manifest.is_file():
            continue
        try:
            utterances, faults = scan_manifest(manifest)
        except ManifestError as error:
            problems.append(workspace.shown(str(error)))
            continue
        problems += [f"{workspace.identify(manifest)}:{line}: {fault}" for line, fault in faults]
        chosen += [one for _, one in utterances if one.extra.get("checked") is True and _is_in(workspace, one, sources)]
    return list({one.id: one for one in chosen}.values()), problems


def _annotated(workspace: Workspace, sources: Sequence[str]) -> tuple[list[Utterance], list[str]]:
    """Return the annotations that people made in ELAN or Praat and that were not saved here, so are in no manifest."""
    chosen: list[Utterance] = []
    problems: list[str] = []
    for name, path, fault in workspace.find():
        if fault is not None or not _is_named(name, sources):
            continue
        try:
            if json_file(path).is_file() or not annotation_files(json_file(path).with_suffix("")):
                continue
            opened = open_document(workspace, name)
        except AsrError as error:
            problems.append(workspace.shown(str(error)))
            continue
        chosen += checked.utterances_of(opened.document, name, path)
        problems += opened.notes
    return chosen, problems


def _is_in(workspace: Workspace, utterance: Utterance, sources: Sequence[str]) -> bool:
    return utterance.audio.is_relative_to(workspace.root) and _is_named(workspace.identify(utterance.audio), sources)


def _is_named(name: str, sources: Sequence[str]) -> bool:
    return any(source == "." or name == source or name.startswith(f"{source.rstrip('/')}/") for source in sources)
