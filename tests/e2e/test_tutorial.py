"""docs/tutorial-train.md, block after block in one shell, with the tiny recipe.

`WRAPPER` is what differs from a walk by hand: two steps on few pictures, few questions, and the mock engine.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import forked
import pytest
import training_process
from pages import ROOT, blocks

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

PAGE = "docs/tutorial-train.md"
TINY = "--max-steps 2 --set data.images=scenes:train:2 --set data.audit=[] --set grpo.prompts=4 --set grpo.group=4"
WRAPPER = f"""#!/bin/bash
case $1 in
train) more="{TINY} --set grpo.micro_batch=16" ;;
run | watch) more="--engine mock --limit 2" ;;
compare | report) more="--allow partial" ;;
esac
(
    set -- "$@" $more
    export PYTHONPATH={ROOT}
    BENCH
)
code=$?
echo "$1 $code" >>"$CODES"
exit $code
"""
EDITS = (("RECIPE=ssl4rl_3b_rotation", "RECIPE=tiny_rotation"), ("allow = []", 'allow = ["partial"]'))


def test_the_tutorial_leads_to_the_table_and_the_page(tmp_path: Path) -> None:
    bench = tmp_path / "bin" / "ssl4rl-bench"
    bench.parent.mkdir()
    command = forked.in_shell("-m", "ssl4rl_bench", kind=training_process.Popen)
    bench.write_text(WRAPPER.replace("BENCH", command))
    bench.chmod(0o755)
    script = "".join(block.text for block in blocks(PAGE) if block.language == "sh" and not block.reason)
    for before, after in EDITS:
        assert script.count(before) == 1
        script = script.replace(before, after)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=work,
        env={
            "PATH": f"{bench.parent}:/usr/bin:/bin",
            "CODES": str(tmp_path / "codes"),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )
    lines = [line.split() for line in (tmp_path / "codes").read_text().splitlines()]
    codes = [(name, int(code)) for name, code in lines]
    commands = ["examples", "run", "train", "train", "watch", "compare", "compare", "report"]
    assert [name for name, _ in codes] == commands, done.stderr
    assert all(code == 0 or (name == "watch" and code in (1, 3)) for name, code in codes), (
        done.stdout + done.stderr
    )
    assert (work / "checkpoints" / "tiny_rotation" / "step-000002" / "model.safetensors").is_file()
    table, page = (work / "table.tex").read_text(), (work / "leaderboard.html").read_text()
    assert r"\begin{tabular" in table and "tiny-base" in table and page.endswith("</html>")
    assert (work / "runs" / "watch" / "leaderboard.html").is_file()
