"""What only a person can state of a model: title, languages, licences, authors, source of the data, how to cite."""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asr.errors import AsrError, one_line
from asr.files import read_text
from asr.sharing.licences import hub_fields, is_own, parse_licence

_LONGEST = 500  # characters of a text in one line
_LARGEST_CITATION = 100_000  # characters
# BCP 47 (RFC 5646): language, script, region, variants, private use. The language is a code of ISO 639.
_TAG = re.compile(
    r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"
    r"(-x(-[a-z0-9]{1,8})+)?"
)
_ENTRY = re.compile(r"^\s*@\w+\s*\{\s*[^\s,{}]+\s*,", re.MULTILINE)
_LINK = re.compile(r"https?://[^\s<>\"]+")
_OPTIONS = {  # fields: their option, and what the card calls them
    "title": ("--title", "title"),
    "languages": ("--language", "language"),
    "licence": ("--licence", "licence of the model"),
    "authors": ("--author", "authors"),
    "data": ("--data", "source of the data"),
    "data_licence": ("--data-licence", "licence of the data"),
    "citation": ("--cite", "how to cite"),
}


class Statement(BaseModel):
    """The statements about one model. A field that nobody stated is None or empty."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str | None = Field(default=None, max_length=_LONGEST)
    languages: tuple[str, ...] = ()  # tags of BCP 47
    licence: str | None = None
    licence_link: str | None = None
    authors: tuple[str, ...] = ()  # `Family, Given`, or the name of an organisation
    data: str | None = Field(default=None, max_length=_LONGEST)
    data_licence: str | None = None
    citation: str | None = None  # BibTeX

    def missing(self) -> list[str]:
        """Return a line for each field that nobody stated: what it is, and the option that states it."""
        return [
            f"{name}: not stated; {option}" for field, (option, name) in _OPTIONS.items() if not getattr(self, field)
        ]

    def front_matter(self) -> dict[str, Any]:
        """Return the fields of the hub's metadata that the statements give."""
        fields: dict[str, Any] = {}
        if self.languages:
            fields["language"] = list(dict.fromkeys(tag.partition("-")[0] for tag in self.languages))
            if any("-" in tag for tag in self.languages):
                fields["language_bcp47"] = list(self.languages)
        if self.licence is not None:
            fields |= hub_fields(self.licence, self.licence_link)
        return fields

    def with_later(self, later: "Statement") -> "Statement":
        """Return these statements, replaced by those of `later` that were stated."""
        return self.model_copy(update={name: value for name, value in later if value})


def state(
    *,
    title: str | None = None,
    languages: tuple[str, ...] = (),
    licence: str | None = None,
    licence_link: str | None = None,
    authors: tuple[str, ...] = (),
    data: str | None = None,
    data_licence: str | None = None,
    citation: Path | None = None,
) -> Statement:
    """Check the options of `asr card`, and return the statements. Raises AsrError that names the option."""
    for option, text in (("--title", title), ("--data", data), *(("--author", author) for author in authors)):
        if text is not None:
            _require_line(option, text)
    for tag in languages:
        _require_tag(tag)
    if licence_link is not None and _LINK.fullmatch(licence_link) is None:
        raise AsrError(f"--licence-link {licence_link}: is no address; write one that begins with https://")
    return Statement(
        title=title,
        languages=languages,
        licence=None if licence is None else parse_licence(licence, "--licence"),
        licence_link=licence_link,
        authors=authors,
        data=data,
        data_licence=None if data_licence is None else parse_licence(data_licence, "--data-licence"),
        citation=None if citation is None else read_citation(citation),
    )


def require_link(statement: Statement) -> None:
    """Raise AsrError for a licence of one's own without a link to its text."""
    if statement.licence is not None and is_own(statement.licence) and statement.licence_link is None:
        raise AsrError(
            f"--licence {statement.licence}: is in no list, so a reader needs its text; add --licence-link https://…"
        )


def restore(tree: Any) -> Statement:
    """Return the statements that a card holds in its front matter; fields that are damaged count as not stated."""
    try:
        return Statement.model_validate(tree if isinstance(tree, dict) else {})
    except ValidationError:
        return Statement()


def read_citation(path: Path) -> str:
    """Read a BibTeX file. Raises AsrError if it has no entry, or braces that do not match."""
    text = read_text(path).strip()
    if len(text) > _LARGEST_CITATION:
        raise AsrError(f"--cite {path}: has {len(text)} characters; give a file with the entries to cite only")
    if not _ENTRY.search(text):
        raise AsrError(f"--cite {path}: has no BibTeX entry such as @misc{{name2026, title = {{…}}, …}}; export one")
    if text.count("{") != text.count("}"):
        raise AsrError(
            f"--cite {path}: has {text.count('{')} opening and {text.count('}')} closing braces; export the entry again"
        )
    if "```" in text:
        raise AsrError(f"--cite {path}: has ```, which no entry needs; take it out")
    return text


def _require_line(option: str, text: str) -> None:
    if not text.strip() or one_line(text) != text or len(text) > _LONGEST:
        raise AsrError(f"{option} {text[:80]!r}: must be one line of 1 to {_LONGEST} characters")


def _require_tag(tag: str) -> None:
    if _TAG.fullmatch(tag) is None:
        raise AsrError(
            f"--language {tag}: is no language tag; write the code of ISO 639 in small letters, such as fr or mdw, "
            "with a region if it matters: pt-BR (https://iso639-3.sil.org has all codes)"
        )
