"""Relative links of the documentation lead to files and headings that exist, as GitHub and the site show them."""

from __future__ import annotations

import re

import pytest
import yaml
from pages import PAGES, ROOT

LINK = re.compile(r"(?<!`)\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(text: str) -> set[str]:
    """The anchors of the headings, by GitHub's rule: lower case, without punctuation, blanks as hyphens."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_the_links_of(page: str) -> None:
    path = ROOT / page
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    for target, anchor in [*LINK.findall(text), *((name, "") for name in re.findall(r'src="([^"]*)"', text))]:
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{page} links to {target}#{anchor}"


def test_every_page_has_its_place_on_the_site() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = set(re.findall(r"[\w/-]+\.md", str(navigation)))
    assert listed >= {path.name for path in (ROOT / "docs").glob("*.md")}
    missing = [name for name in listed if not (ROOT / "docs" / name).exists()]
    assert sorted(missing) == [
        *("index.md", "reference/api.md", "reference/changes.md", "reference/commands.md"),
        "reference/task-files.md",
    ], "only generated pages may be missing"


def test_anchors_are_those_of_github() -> None:
    assert anchors("# Numbers, yes or no: [short](x.md) texts\n```\n# no heading\n```\n## `a_b` -- c\n") == {
        "numbers-yes-or-no-short-texts",
        "a_b----c",
    }
