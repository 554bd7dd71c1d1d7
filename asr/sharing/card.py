"""The card of a model: a page in Markdown with the metadata of the Hugging Face hub, from what is known of the model.

Nothing is invented: numbers come from the model file, from manifests that are there, and from `--score`; what only a
person can know is stated by options. All else is called "not stated".
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from asr.errors import AsrError, one_line
from asr.extras import DISTRIBUTION
from asr.files import read_text, write_whole
from asr.hub import EXPORTED_FILE, is_address, parse_address
from asr.model_file import MODEL_FILE
from asr.scoring.accuracy import Accuracy
from asr.scoring.tables import Table
from asr.scoring.wer import ErrorRate
from asr.sharing.contents import CARD_FILE, SharedModel
from asr.sharing.data import Split, read_splits, trained_speakers
from asr.sharing.limits import limits_of, overlaps_of
from asr.sharing.scores import TestScore
from asr.sharing.statement import Statement, restore
from asr.wording import counted

NOT_STATED = "not stated"
LIBRARY = "asr"  # name of the library in the metadata
_KEY = "asr"  # field of the front matter with the statements
_TASKS = {"recognition": "automatic-speech-recognition", "classification": "audio-classification"}
_NAMES = {"recognition": "Speech recogniser", "classification": "Classifier of recordings"}
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"}
_ROWS = 10  # rows of a table of errors
_MOST_UNITS = 300  # units that a card lists
_END = "<!-- Written by asr card ({}). A card that was changed by hand is not replaced. -->"


def card_path(model: Path) -> Path:
    """Return where the card of a model lies: beside the model, under the name that the hub and archives show."""
    return model.with_name(CARD_FILE)


def front_matter(content: str) -> dict[str, Any]:
    """Return the metadata at the head of a card; empty if there is none, or if it is no YAML mapping."""
    start, _, rest = content.partition("---\n")
    try:
        tree = {} if start.strip() else yaml.safe_load(rest.partition("\n---\n")[0])
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def stated_before(path: Path) -> Statement:
    """Return the statements of a card that is there, and none if there is no card."""
    return restore(front_matter(read_text(path)).get(_KEY)) if path.is_file() else Statement()


def missing_statements(content: str) -> list[str]:
    """Return a line for each statement that a card of `asr card` lacks; none for a card that a person wrote."""
    found = front_matter(content).get(_KEY)
    return restore(found).missing() if isinstance(found, dict) else []


def described_signature(content: str) -> str | None:
    """Return the signature of the weights that a card describes, or None if it names none."""
    found = front_matter(content).get(_KEY)
    return str(found["signature"]) if isinstance(found, dict) and "signature" in found else None


def require_own(path: Path) -> None:
    """Raise AsrError if a card was written or changed by a person."""
    if not path.exists():
        return
    body, _, end = read_text(path).rstrip("\n").rpartition("\n")
    if end != _END.format(_digest(body)):
        raise AsrError(f"{path}: was written or changed by hand, and is not replaced; name another file with -o")


def write_card(path: Path, model: SharedModel, statement: Statement, score: TestScore | None = None) -> list[str]:
    """Write the card of a model. Return a line for everything that is wrong with its test set, or is not stated.

    Raises OutputError, and AsrError if the file was changed by hand.
    """
    require_own(path)
    splits = read_splits(model.config)
    body = "\n".join(_lines(model, statement, splits, score))
    write_whole(path, f"{body}\n{_END.format(_digest(body))}\n".encode())
    missing = [*overlaps_of(score, splits), *statement.missing()]
    if score is None:
        missing.append(f"score on test data: {NOT_STATED}; --score REFERENCES HYPOTHESES")
    for name, split in splits.items():
        if isinstance(split, str):
            missing.append(f"speakers of {name}: {NOT_STATED}; {split}")
        elif split.speakers is None:
            missing.append(f"speakers of {name}: {NOT_STATED}; not every line of the manifest has the field speaker")
    return missing


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:8]


def _lines(
    model: SharedModel, statement: Statement, splits: Mapping[str, Split | str], score: TestScore | None
) -> Iterator[str]:
    """Yield the lines of a card, without the last one."""
    metadata = model.metadata
    task = model.task
    title = statement.title or f"{_NAMES[task]} (title {NOT_STATED})"
    tree = _metadata(model, statement, task, title, score)
    yield f"---\n{yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)}---\n"
    yield f"# {_text(title)}\n"
    yield f"{_NAMES[task]}, trained with asr (`pip install {DISTRIBUTION}`): {_shape(model.config)}.\n"
    yield from _list(
        [
            ("language", ", ".join(statement.languages) or NOT_STATED),
            ("licence of the model", _licence(statement)),
            ("authors", _text("; ".join(statement.authors)) or NOT_STATED),
        ]
    )
    yield from _use(model, task)
    yield "## Training data\n"
    yield from _list(_data(metadata, statement, splits))
    yield "## Scores\n"
    yield from _scores(metadata, score, splits)
    yield "## Limits\n"
    yield from (f"- {limit}" for limit in limits_of(model, splits, score))
    yield "\n## The model\n"
    yield from _list(_model(model, task))
    yield "## How to cite\n"
    yield f"```bibtex\n{statement.citation}\n```\n" if statement.citation else f"{NOT_STATED.capitalize()}.\n"


def _metadata(
    model: SharedModel, statement: Statement, task: str, title: str, score: TestScore | None
) -> dict[str, Any]:
    """Return the front matter. https://github.com/huggingface/hub-docs/blob/main/modelcard.md"""
    results, origin = list(_results(model.metadata, task, score)), model.origin or ""
    kept = {name: list(value) if isinstance(value, tuple) else value for name, value in statement if value}
    tree: dict[str, Any] = {
        **statement.front_matter(),
        **({"base_model": parse_address(origin).repository} if is_address(origin) else {}),
        "library_name": LIBRARY,
        "pipeline_tag": _TASKS[task],
        "tags": ["audio", "speech", _TASKS[task], LIBRARY],
    }
    if results:
        tree["metrics"] = list(dict.fromkeys(metric["type"] for result in results for metric in result["metrics"]))
        tree["model-index"] = [{"name": title, "results": results}]
    tree[_KEY] = kept if model.signature is None else {**kept, "signature": model.signature}
    return tree


def _results(metadata: Mapping[str, Any], task: str, score: TestScore | None) -> Iterator[dict[str, Any]]:
    """Yield the entries of `model-index`, rates in percent."""
    of_task = {"type": _TASKS[task], "name": _NAMES[task]}
    rates = {name: value for name, value in _validation(metadata).items() if isinstance(value, int | float)}
    if rates:
        metrics = [
            {"type": name, "value": round(value, 2), "name": f"validation {_title(name)}"}
            for name, value in rates.items()
        ]
        yield {
            "task": of_task,
            "dataset": {"type": "other", "name": "validation data", "split": "validation"},
            "metrics": metrics,
        }
    if score is not None:
        dataset = {"type": "other", "name": score.reference.name, "split": "test", "args": {"sha256": score.digests[0]}}
        metrics = [
            {"type": _type(rate), "value": round(rate.percent, 2), "name": f"test {rate}"} for rate in score.rates
        ]
        yield {"task": of_task, "dataset": dataset, "metrics": metrics}


def _validation(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the error rates of the kept epoch on validation data, in percent, by the name of the metric."""
    summary = metadata.get("training", {})
    return {
        name: summary[f"validation_{name}"] for name in ("wer", "cer", "accuracy") if f"validation_{name}" in summary
    }


def _type(rate: ErrorRate | Accuracy) -> str:
    return "accuracy" if isinstance(rate, Accuracy) else rate.name.lower()


def _title(name: str) -> str:
    return name if name == "accuracy" else name.upper()


def _shape(config: Mapping[str, Any]) -> str:
    model = config["model"]
    direction = "bidirectional " if model["bidirectional"] else ""
    transducer = "a transducer" if model["ctc_weight"] == 0 else "CTC and a transducer"
    decoders = {
        "ctc": "CTC",
        "attention": "an attention decoder",
        "joint": "CTC and an attention decoder",
        "transducer": transducer,
    }
    output = "one class for each recording" if config.get("task") == "classification" else decoders[model["decoder"]]
    return f"{model['layers']} x {model['hidden']} {direction}{model['cell'].upper()} with {output}"


def _licence(statement: Statement) -> str:
    if statement.licence is None:
        return NOT_STATED
    if statement.licence_link is not None:
        return f"[{statement.licence}]({statement.licence_link})"
    return statement.licence


def _use(model: SharedModel, task: str) -> Iterator[str]:
    command = "transcribe" if task == "recognition" else "classify"
    needed, name = ("hub", EXPORTED_FILE) if model.is_exported else ("hub,train", MODEL_FILE)
    yield f"## Use\n\n```bash\npip install '{DISTRIBUTION}[{needed}]'\nasr {command} {name} recording.wav\n```\n"
    yield "In place of the file, `asr` takes the address of a repository of the Hugging Face hub: `hf://USER/NAME`.\n"


def _data(
    metadata: Mapping[str, Any], statement: Statement, splits: Mapping[str, Split | str]
) -> Iterator[tuple[str, str]]:
    summary = metadata.get("training", {})
    yield "source", _text(statement.data or NOT_STATED)
    yield "licence of the data", statement.data_licence or NOT_STATED
    hours = summary.get("training_hours")
    yield "speech for training", f"{hours:.2f} h" if isinstance(hours, int | float) else NOT_STATED
    for name, title in (("train", "training"), ("validation", "validation")):
        count, split = summary.get(f"{title}_utterances"), splits[name]
        yield f"utterances for {title}", _count(count, split)
        yield f"speakers of {title}", _speakers(count, split)


def _count(count: Any, split: Split | str) -> str:
    if not isinstance(count, int):
        return NOT_STATED
    if isinstance(split, Split) and split.utterances > count:
        return f"{count} of the {split.utterances} lines of the manifests"
    return str(count)


def _speakers(count: Any, split: Split | str) -> str:
    found = trained_speakers(split, count)
    if found is None and isinstance(split, Split) and split.speakers is not None:
        return f"{NOT_STATED} (the manifests have changed since)"
    return NOT_STATED if found is None else str(found)


def _scores(metadata: Mapping[str, Any], score: TestScore | None, splits: Mapping[str, Split | str]) -> Iterator[str]:
    rows = [
        ("validation", _title(name), f"{value:.2f} %", NOT_STATED, NOT_STATED)
        for name, value in _validation(metadata).items()
        if isinstance(value, int | float)
    ]
    for rate in () if score is None else score.rates:
        low, high = rate.interval
        counts = (
            f"{rate.correct} / {rate.total} right" if isinstance(rate, Accuracy) else f"{rate.errors} / {rate.total}"
        )
        over = f"{'exact, ' * rate.exact}over {rate.resampled}"
        rows.append(("test", _title(_type(rate)), f"{rate.percent:.2f} %", f"{low:.2f}-{high:.2f} ({over})", counts))
    if rows:
        yield from _table(("data", "rate", "value", "95 % interval", "errors"), rows)
    else:
        yield f"{NOT_STATED.capitalize()}.\n"
    if score is None:
        yield f"Score on test data: {NOT_STATED}.\n"
        return
    texts, against = (
        f"{_code(path.name)} (SHA-256 `{digest}`)"
        for path, digest in zip((score.hypothesis, score.reference), reversed(score.digests), strict=True)
    )
    yield (
        f"Test: {texts} against {against}, {counted('{} utterance<s>', score.utterances)}"
        f"{_test_speakers(score, splits)}; texts: {score.normalizer}. Both files were scored, not recognised again.\n"
    )
    for table in score.tables:
        yield from _errors(table)


def _test_speakers(score: TestScore, splits: Mapping[str, Split | str]) -> str:
    if score.split is None or score.split.speakers is None:
        return f"; speakers {NOT_STATED}"
    speakers, training = score.split.speakers, splits["train"]
    said = f" of {counted('{} speaker<s>', len(speakers))}"
    if isinstance(training, Split) and training.speakers is not None:
        said += f", {len(speakers & training.speakers)} of them in training too"
    return said


def _errors(table: Table) -> Iterator[str]:
    """Yield the first rows of a table of errors; all its texts are code, so that none of them is Markdown."""
    if table.rows:
        yield f"### {table.title}\n"
        rows = [
            tuple(_code(cell) if isinstance(cell, str) else _cell(cell) for cell in row) for row in table.rows[:_ROWS]
        ]
        yield from _table(table.columns, rows)


def _model(model: SharedModel, task: str) -> Iterator[tuple[str, str]]:
    config, metadata = model.config, model.metadata
    summary = metadata.get("training", {})
    symbols = model.symbols
    shown = " ".join(_code(symbol) for symbol in symbols[:_MOST_UNITS])
    more = f" … and {len(symbols) - _MOST_UNITS} more" if len(symbols) > _MOST_UNITS else ""
    yield "network", _shape(config)
    yield "features", f"{config['features']['kind']}, {config['features']['sample_rate']} Hz"
    yield f"{'units' if task == 'recognition' else 'classes'} ({len(symbols)})", shown + more
    if task == "recognition":
        yield "language models", "yes, tuned on validation data" if "decoding" in metadata else "none"
    if model.origin is not None:
        yield "started from", _code(model.origin)
    yield "epoch", str(summary.get("epoch", NOT_STATED))
    yield "seed", str(summary.get("seed", NOT_STATED))
    yield "program", _program(summary)
    yield "weights", f"`{model.signature}` (`asr info` prints it)" if model.signature else "exported (ONNX)"


def _program(summary: Mapping[str, Any]) -> str:
    versions = summary.get("versions")
    if not isinstance(versions, dict):
        return NOT_STATED
    commit = summary.get("git_commit")
    return ", ".join(
        [*(f"{name} {version}" for name, version in versions.items()), *([f"commit {commit}"] if commit else [])]
    )


def _list(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from (f"- **{name}**: {value}" for name, value in facts)
    yield ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _cell(value: float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _text(text: str) -> str:
    """Return a text in which no character means anything in Markdown or HTML."""
    return "".join(_ENTITIES.get(one, f"\\{one}" if one in r"\`*[]" else one) for one in one_line(text))


def _code(text: str) -> str:
    """Return a text as code. Programs disagree about ` and | in code in a table: these are written in HTML."""
    text = one_line({" ": "␣", "": "∅"}.get(text, text))
    if not set(text) & set("`|"):
        return f"`{text}`"
    return f"<code>{''.join(one if one.isalnum() else f'&#{ord(one)};' for one in text)}</code>"
