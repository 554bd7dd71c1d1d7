"""Where the numbers of the pages come from.

A number of quality in the README or a guide (an error rate, BLEU, accuracy, points of difference, how many times as
fast) stands in a paragraph, a list item or a section with a table that links to a page of experiments, a recipe or a
receipt. The place that the link names states the number, maybe with more digits. Output between fences is that of a
command, and tables between `<!-- results: … -->` are generated. A section of the experiments names date and commit.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

GUIDES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
NOTES = [page for page in sorted((REPOSITORY / "docs/experiments").glob("*.md")) if page.stem != "index"]
LAST_WITHOUT_COMMAND = "2026-11-30"  # sections of experiments that are younger name a command too

NO_PROSE = re.compile(r"^```.*?^```$|<!-- results: .*?<!-- end of results -->|`[^`\n]*`", re.MULTILINE | re.DOTALL)
NUMBER = r"\d[\d,]*(?:\.\d+)?(?![\w.]*\w)"
SEVERAL = rf"{NUMBER}(?:[ ](?:to|and|or)[ ]{NUMBER})*"
METRIC = r"(?:CERs?|WERs?|BLEU|chrF2?|[Aa]ccuracy|[Ee]rror rates?)"
QUALITY = re.compile(
    rf"""
    \b{METRIC}\b[^.;:|()\d]{{0,40}}{NUMBER}(?:[ ]?%)?(?:[^.;|()\d]{{1,20}}{NUMBER})*  # a CER of 45.4 %, and 48.0 %
    | {SEVERAL}[ ]?%?[ ](?:points[ ]of[ ])?{METRIC}\b
    | {SEVERAL}[ ]points?\b
    | {SEVERAL}[ ](?:hours|minutes)[ ](?:of[ ]\w+[ ])?(?:a|per|each)[ ]core-hour
    | {SEVERAL}[ ]times[ ](?:as[ ](?:fast|slow|small|many[ ]errors)|faster|slower|real[ ]time)
    | {SEVERAL}[ ]%[ ](?:faster|slower|better|worse|fewer|of[ ]the[ ]errors|of[ ]real[ ]time)
    """,
    re.VERBOSE,
)
LIMIT = re.compile(r"more than|at least|at most")  # a setting of the program, which nobody measured
SOURCE = re.compile(r"\]\((?!https?:)([^)#\s]*(?:experiments/|recipes/|receipts/)[^)#\s]*)(?:#([^)\s]*))?\)")


def parts_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield paragraphs, list items and tables of a page with the text whose links count: a table has its section's."""
    for section in re.split(r"^(?=#+ )", NO_PROSE.sub("", text), flags=re.MULTILINE):
        for block in re.split(r"\n\s*\n", section):
            if block.lstrip().startswith("|"):
                yield block, section
            else:
                yield from ((" ".join(item.split()), item) for item in re.split(r"\n(?=\s*(?:[-*]|\d+\.) )", block))


def numbers_of(part: str) -> list[str]:
    """Return the numbers of quality in a part of a page, also those in columns of a table with the name of a metric."""
    matches = [match[0] for match in QUALITY.finditer(part) if not LIMIT.search(match[0])]
    found = [number for match in matches for number in re.findall(NUMBER, match)]
    if part.lstrip().startswith("|"):
        head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.strip().splitlines()]
        columns = [number for number, cell in enumerate(head) if re.search(rf"\b{METRIC}\b", cell)]
        found += [one for row in rows for column in columns for one in re.findall(NUMBER, row[column])]
    return [number.replace(",", "") for number in found]


def stated(page: Path, links: str) -> list[str]:
    """Return all numbers of the places that the links to measurements name: a section, or a whole page."""
    found = []
    for target, anchor in SOURCE.findall(links):
        file = page.parent / target
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        found += re.findall(NUMBER, section_of(text, anchor) if anchor else text)
    return [number.replace(",", "") for number in found]


def section_of(text: str, anchor: str) -> str:
    """Return the section of a heading, with the sections below it."""
    for match in re.finditer(r"^(#+) (.*)$", text, re.MULTILINE):
        if re.sub(r"[^\w\- ]", "", match[2].lower()).replace(" ", "-") == anchor:
            rest = text[match.end() :]
            end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
            return rest[: end.start()] if end else rest
    return ""


def is_rounded(number: str, source: str) -> bool:
    """Tell whether a number is another one, with as many or fewer decimals."""
    decimals = len(number.partition(".")[2])
    return abs(float(number) - float(source)) <= 0.5001 * 10**-decimals


def faults_of(page: Path, text: str) -> list[str]:
    """Return the numbers of a page without a source, each with its part of the page."""
    faults = []
    for part, links in parts_of(text):
        sources = stated(page, links)
        missing = [one for one in numbers_of(part) if not any(is_rounded(one, other) for other in sources)]
        if missing:
            faults.append(f"{', '.join(missing)}: {part.strip()[:300]}")
    return faults


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_numbers_of_guides_stand_in_the_measurements_that_they_link_to(page: Path) -> None:
    assert faults_of(page, page.read_text(encoding="utf-8")) == []


def test_faults_are_found_and_sources_are_read(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    notes = "# Notes\n\n## Part one\n\nCER 45.44, 1,200 times\n\n### Below\n\nWER 3\n\n## Part two\n\nCER 12.0\n"
    (tmp_path / "experiments" / "x.md").write_text(notes)
    page, link = tmp_path / "page.md", "([measured](experiments/x.md#part-one))"

    def faults(text: str) -> list[str]:
        return [fault.partition(":")[0] for fault in faults_of(page, text)]

    assert faults(f"A CER of 45.4 % {link}.") == faults(f"- WER 3 became 45 {link}") == []
    assert faults("A CER of 45.4 %.") == ["45.4"], "no link"
    assert faults(f"A CER of 45.5 % {link}.") == ["45.5"], "another number"
    assert faults(f"A CER of 12.0 % {link}.") == ["12.0"], "another section"
    assert faults(f"It is 3 times as fast.\n\n{link}") == ["3"], "a link of another paragraph"
    assert faults(f"- 0.5 points of CER\n- {link}") == ["0.5"], "a link of another item"
    table = "| model | CER | seconds |\n|---|---|---|\n| a | 45.4 | 99 |\n"
    assert faults(f"# A\n\n{table}\n{link}\n") == [] and faults(f"# A\n\n{table}\n# B\n\n{link}\n") == ["45.4"]
    assert faults("```text\nCER 9.9\n```\n<!-- results: x -->\nWER 9.9\n<!-- end of results -->\n") == []
    assert faults("Refused if the CER rises by more than 0.3 points; `CER 9.9` is an example; 17 % of the words") == []
    assert faults(f"1200 times as fast {link}") == [] and faults("[text](https://host/experiments/x.md) WER 3") == ["3"]


def lacks(notes: str) -> list[str]:
    """Return what sections with measured numbers lack, in the section and at the top of the page."""
    top, *sections = re.split(r"^(?=## )", notes, flags=re.MULTILINE)
    faults = []
    for section in sections:
        title, dates = section.splitlines()[0], re.findall(r"\b20\d\d-\d\d-\d\d\b", section + top)
        if not re.search(r"\d\.\d", section):
            continue
        if not dates:
            faults.append(f"{title}: no date")
        if not re.search(r"`(?=[0-9a-f]*\d)[0-9a-f]{7,12}`", section + top):
            faults.append(f"{title}: no commit")
        if max(dates, default="") > LAST_WITHOUT_COMMAND and not re.search(r"\b(asr|make|python) \w", section + top):
            faults.append(f"{title}: no command")
    return faults


@pytest.mark.parametrize("page", NOTES, ids=lambda page: page.stem)
def test_sections_of_experiments_say_when_and_with_which_program(page: Path) -> None:
    assert lacks(page.read_text(encoding="utf-8")) == []


def test_sections_that_say_nothing_are_found() -> None:
    told = "*2026-11-29, commit `1234567`.* CER 3.4\n"
    assert (
        lacks(f"# A\n\n## B\n\n{told}")
        == lacks(f"# A\n\n{told}\n## B\n\nCER 3.4\n")
        == lacks("# A\n## B\n3 of 4\n")
        == []
    )
    assert lacks("# A\n## B\n\nCER 3.4\n") == ["## B: no date", "## B: no commit"]
    assert lacks(f"# A\n## C\n{told}\n## B\n2026-11-29, commit `abcdefg`: 3.4\n") == ["## B: no commit"]
    assert lacks("# A\n## B\n*2026-12-01, commit `1234567`.* CER 3.4\n") == ["## B: no command"]
    assert lacks("# A\n## B\n*2026-12-01, commit `1234567`.* `asr train x` CER 3.4\n") == []
