"""Writes the sources of the documentation site into build/docs: the pages of docs/ and those generated from the code.

`make docs` and `make docs-check` run it; mkdocs.yml names the folder. Nothing that it generates is committed.
"""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build" / "docs"
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>(?:\.\./)+[^)#]*)(?P<anchor>#[^)]*)?\)")


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(ROOT / "docs", OUT)
    for page in OUT.glob("*.md"):
        page.write_text(LINK.sub(_outside, page.read_text("utf-8")), "utf-8")
    (OUT / "index.md").write_text(index(), "utf-8")
    (OUT / "reference").mkdir()
    pages = {"commands": commands, "api": api, "task-files": task_files, "changes": changes}
    for name, write in pages.items():
        (OUT / "reference" / f"{name}.md").write_text(write(), "utf-8")


def index() -> str:
    """README.md, with its links as seen from docs/."""
    text = (ROOT / "README.md").read_text("utf-8").replace("](docs/", "](").replace('src="docs/', 'src="')
    return re.sub(r"\[([^\]]*)\]\((?:docs|[A-Z]+\.md)\)", r"\1", text)


def commands() -> str:
    """The help of every command."""
    from typer.testing import CliRunner

    from ssl4rl_bench.cli import COMMANDS, app

    parts = ["# Commands", "The help of each command, generated from the program."]
    for name, line in {"": "Commands and exit codes.", **COMMANDS}.items():
        arguments = [name, "--help"] if name else ["--help"]
        widths = {"COLUMNS": "100", "TERMINAL_WIDTH": "100"}
        done = CliRunner().invoke(app, arguments, env=widths, prog_name="ssl4rl-bench")
        if done.exit_code:
            raise RuntimeError(f"ssl4rl-bench {name} --help: {done.output}")
        title = f"ssl4rl-bench {name}".strip()
        parts += [f"## {title}", line, f"```text\n{done.output.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def api() -> str:
    """Signatures and docstrings of the public names, and of the public methods of classes."""
    import ssl4rl_bench

    parts = ["# Python API", "`import ssl4rl_bench as sb` gives these names. [Examples](../python.md)"]
    for name in ssl4rl_bench.__all__:
        member = getattr(ssl4rl_bench, name)
        if callable(member):
            parts += [f"## {name}", *_described(name, member)]
            if inspect.isclass(member):
                for method, value in inspect.getmembers(member, callable):
                    if not method.startswith("_") and inspect.getdoc(value):
                        parts += [f"### {name}.{method}", *_described(method, value)]
    return "\n\n".join(parts) + "\n"


def _described(name: str, member: Any) -> list[str]:
    """The signature as code, and the docstring with its sections as lists."""
    parts = [f"```python\n{name}{_signature(member)}\n```"]
    for block in (inspect.getdoc(member) or "").split("\n\n"):
        head, _, rest = block.partition("\n")
        if re.fullmatch(r"(Args|Raises|Returns|Yields|Attributes):", head):
            parts += [f"**{head[:-1]}**", _items(inspect.cleandoc(rest))]
        elif ">>>" in block:
            parts.append(f"```pycon\n{inspect.cleandoc(block.removeprefix('Example:').strip(chr(10)))}\n```")
        else:
            parts.append(block)
    return parts


def _signature(member: Any) -> str:
    """The signature with annotations as they are written in the code, on one line per parameter if it is long."""
    try:
        signature = inspect.signature(member)
    except (TypeError, ValueError):
        return "()"
    text = re.sub(r"<(?:\w+\.)*(\w+) object at \w+>", r"\1()", str(signature))
    text = re.sub(r"(: |-> )(['\"])(.*?)\2(?= = |, |\)|$)", r"\1\3", text)
    if len(text) < 90:
        return text
    inner, arrow, result = text[1:].rpartition(") -> ")
    parameters = re.split(r", (?=[*\w]+(?:: |, |$))", inner if arrow else text[1:-1])
    return "(\n" + "".join(f"    {item},\n" for item in parameters) + ")" + (f" -> {result}" if arrow else "")


def _items(text: str) -> str:
    """Makes a list of lines "name: description", whose continuation lines are indented."""
    joined = re.sub(r"\n +", " ", text)
    return "\n".join("- " + re.sub(r"^([\w, *]+):", r"`\1`:", line) for line in joined.splitlines() if line)


def task_files() -> str:
    """tasks/README.md, with its links as seen from reference/."""
    text = (ROOT / "tasks" / "README.md").read_text("utf-8")
    return text.replace("](../docs/", "](../")


def changes() -> str:
    """CHANGELOG.md, with its links as seen from reference/."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    return text.replace("](docs/", "](../")


def _outside(match: re.Match[str]) -> str:
    """Turns a link to a file that is not part of the site into the name of the file."""
    target = (ROOT / "docs" / match["target"]).resolve()
    name = target.relative_to(ROOT)
    if not target.exists():
        raise FileNotFoundError(f"a link leads to {name}, which does not exist")
    if name == Path("tasks/README.md"):
        return f"[{match['text']}](reference/task-files.md{match['anchor'] or ''})"
    text = match["text"]
    return f"{text} (`{name}`)" if text.strip("`") != str(name) else f"`{name}`"


if __name__ == "__main__":
    main()
