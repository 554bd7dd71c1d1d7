"""Hooks of the documentation site: pages outside docs/ join it, and links between pages lead there.

Pages link to each other by their paths in the repository, so that links work where the repository is browsed. Here a
link to a page of the site becomes a link inside the site. A link to another file becomes its path.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parent.parent
OUTSIDE = {
    "README.md": "about.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/ to the site."""
    recipes = {str(path.relative_to(REPOSITORY)): "" for path in sorted(REPOSITORY.glob("recipes/**/README.md"))}
    for path, uri in {**OUTSIDE, **recipes}.items():
        files.append(File.generated(config, uri or path, abs_src_path=str(REPOSITORY / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace links by repository paths with links inside the site, except in blocks of code."""
    here = Path(str(page.file.abs_src_path)).resolve().parent
    site = {Path(str(file.abs_src_path)).resolve(): file.src_uri for file in files if file.abs_src_path}

    def replace(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        path, hash_mark, anchor = target.partition("#")
        if not path or ":" in path:
            return match[0]
        there = (here / path).resolve()
        if there in site:
            uri = os.path.relpath(site[there], Path(page.file.src_uri).parent)
            return f"{image}[{text}]({uri}{hash_mark}{anchor})"
        return f"{text} (`{there.relative_to(REPOSITORY)}`)" if there.is_file() else match[0]

    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(replace, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(replace, markdown[end:])])
