"""Links between the project's own pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])


def read_text(page: Path) -> str:
    """A page without its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`([^`\n]*)`", lambda code: code[1].translate(str.maketrans("", "", "[]()")), text)


def read_anchors(page: Path) -> set[str]:
    """What a link can name of a page: its headings, in small letters, without punctuation, `-` for each space."""
    headings = re.findall(r"^#+ (.*)$", read_text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A link into the project names a file that is there, and a heading that the file has."""
    links = re.findall(r"\]\(([^)\s]+)\)", read_text(page))
    broken = []
    for path, _, anchor in (link.partition("#") for link in links if "://" not in link):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in read_anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []
