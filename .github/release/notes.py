"""Writes a release's notes, and prints `version=X.Y.Z` for the workflow.

Usage: python .github/release/notes.py FILE

The version is the package's. CHANGELOG.md must have a section of that version with a date, "## 0.1.0 (2026-12-01)":
its text becomes the notes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def notes(changelog: str, version: str) -> str:
    """The text of a version's section.

    Raises:
        SystemExit: there is none, it is empty, or it has no date.
    """
    heading = re.compile(rf"^## {re.escape(version)} \((.+?)\)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    section = heading.search(changelog)
    if section is None:
        raise SystemExit(f"CHANGELOG.md has no section '## {version} (YYYY-MM-DD)': write it")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", section[1]):
        raise SystemExit(f"CHANGELOG.md says '{section[1]}' for {version}: put the date of the release there")
    if not section[2].strip():
        raise SystemExit(f"CHANGELOG.md says nothing about {version}: write what changed")
    return section[2].strip() + "\n"


def package_version(pyproject: str, init: str) -> str:
    """The version in pyproject.toml.

    Raises:
        SystemExit: `__version__` is another one.
    """
    import tomllib

    version: str = tomllib.loads(pyproject)["project"]["version"]
    if f'__version__ = "{version}"' not in init:
        raise SystemExit(f"ssl4rl_bench/__init__.py has another __version__ than pyproject.toml's {version}")
    return version


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    version = package_version(
        (ROOT / "pyproject.toml").read_text(), (ROOT / "ssl4rl_bench" / "__init__.py").read_text()
    )
    Path(sys.argv[1]).write_text(notes((ROOT / "CHANGELOG.md").read_text(), version))
    print(f"version={version}")
