"""Every change of docs/extend.md: it applies to the program as it is, touches few files, and works as shown."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "extend.md").read_text(encoding="utf-8")
SECTIONS = {
    title: [re.findall(rf"^```{kind}\n(.*?)^```", body, re.MULTILINE | re.DOTALL) for kind in ("diff", "python")]
    for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}


@pytest.mark.parametrize("title", SECTIONS)
def test_a_change_applies_and_works(title: str, tmp_path: Path) -> None:
    diffs, programs = SECTIONS[title]
    assert len(diffs) == 1 and len(programs) == 1, "each section holds one change and one program"
    shutil.copytree(REPOSITORY / "asr", tmp_path / "asr", ignore=shutil.ignore_patterns("__pycache__"))
    apply = ["git", "apply", "--unsafe-paths", f"--directory={tmp_path}", "-"]
    done = subprocess.run(apply, input=diffs[0], text=True, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    touched = re.findall(r"^\+\+\+ b/(\S+)", diffs[0], re.MULTILINE)
    assert 1 <= len(touched) <= (3 if title == "A task" else 2), touched
    done = subprocess.run([sys.executable, "-c", programs[0]], text=True, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_page_has_a_section_for_each_kind_of_part() -> None:
    assert list(SECTIONS) == ["An output format", "A corpus reader", "A cell", "An augmentation", "A task"]
