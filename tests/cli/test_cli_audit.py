"""`ssl4rl-bench audit` as a user calls it: exit codes, both formats, hostile cards, and runs read again."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from test_card_audit import PLAIN, published
from test_cli import bench, refused

from ssl4rl_bench.task.extract import EXTRACTORS, check_extractor


def test_the_published_card_exits_with_1_and_names_the_cell(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(published())
    done = bench("audit", "card", card)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for words in (
        "Maximal Improvement",
        "7.27",
        "neither the plain mean",
        "question-weighted mean",
        "findings: 2",
    ):
        assert words in done.stdout
    made = json.loads(bench("audit", "card", card, "--format", "json").stdout)
    assert (made["schema"], made["n_findings"]) == (1, 2)
    first, second = made["tables"][0]["findings"]
    assert (first["row"], first["column"], first["expected"]) == ("Maximal Improvement", "Attribute", "7.27")
    assert (second["row"], second["column"], second["expected"]) == ("", "Average", None)


def test_a_right_card_exits_with_0(tmp_path: Path) -> None:
    card = tmp_path / "card.txt"
    kept = [
        line.rsplit(" ", 1)[0]
        for line in PLAIN.replace("6.77", "7.27").replace(" ↑ 7.39", " 7.39").splitlines()[2:9]
    ]
    card.write_text("\n".join(kept))
    done = bench("audit", "card", card)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "findings: 0" in done.stdout


def test_hostile_text_is_neutralised(tmp_path: Path) -> None:
    hostile = "\x1b]0;gone\x07\x1b[31m[bold red]Base[/]\u202e\u200b:smile:"
    card = tmp_path / "card.md"
    card.write_text(published().replace("Base", hostile).replace("Results", hostile))
    done = bench("audit", "card", card)
    assert done.returncode == 1
    assert "[bold red]" in done.stdout and ":smile:" in done.stdout
    assert not [c for c in done.stdout if unicodedata.category(c)[0] == "C" and c != "\n"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["card", "nowhere.md"], ["nowhere.md", "no such file"]),
        (["card", "."], ["cannot read"]),
        (["card", "empty.md"], ["empty.md", "no table of results"]),
        (["card", "empty.md", "--tasks", "scenes"], ["audit reading"]),
        (["reading", "nowhere"], ["no run nowhere"]),
    ],
)
def test_bad_input_is_one_line_and_exit_2(args: list[str], words: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_bytes(b"\xff\xfe nothing here\n")
    refused(bench("audit", *args, cwd=tmp_path), 2, *words)


@pytest.mark.slow
def test_a_run_is_read_with_each_extractor(tmp_path: Path) -> None:
    replies = tmp_path / "replies.jsonl"
    run = tmp_path / "gold"
    gold = bench("run", "--tasks", "scenes,ssl_rotation_90", "--engine", "mock", "--limit", "8", "--out", run)
    assert gold.returncode == 0, gold.stderr
    journal = run / "journal" / "ssl4rl_scenes.jsonl"
    before = (run / "result.json").read_bytes()
    found = [json.loads(line) for line in journal.read_text().splitlines()]
    texts = ["<answer>A</answer>", "The answer is B.", "I cannot say."]
    replies.write_text(
        "".join(json.dumps({"id": line["id"], "text": texts[at % 3]}) + "\n" for at, line in enumerate(found))
    )
    mixed = tmp_path / "mixed"
    done = bench(
        "run", "--tasks", "scenes", "--engine", "replay", "--replies", replies, "--limit", "8", "--out", mixed
    )
    assert done.returncode == 0, done.stderr

    shown = bench("audit", "reading", mixed)
    assert shown.returncode == 0, shown.stderr
    made = json.loads(bench("audit", "reading", mixed, "--format", "json").stdout)["tasks"]["ssl4rl_scenes"]
    assert [row["extractor"] for row in made] == list(dict.fromkeys(map(check_extractor, EXTRACTORS)))
    default, strict = made[:2]
    n = len(found)
    assert default["kappa"] == {"value": 1.0, "se": 0.0, "n": n} and default["n_changed"] == 0
    assert default["status"]["tag"] == (n + 2) // 3 and default["status"]["lenient"] == (n + 1) // 3
    assert strict["status"] == {"tag": (n + 2) // 3, "none": n - (n + 2) // 3}
    assert strict["agreement"] == pytest.approx(1 - ((n + 1) // 3) / n)
    assert 0 < strict["kappa"]["value"] < 1 and strict["kappa"]["se"] > 0
    assert strict["accuracy"] <= default["accuracy"]
    for words in ("strict", "Kappa", "lenient", f"{100 * strict['agreement']:.2f}"):
        assert words in shown.stdout

    both = json.loads(bench("audit", "reading", run, "--format", "json").stdout)["tasks"]
    assert [row["extractor"] for row in both["ssl4rl_ssl_rotation_90"]] == ["default", "strict"]
    one = bench("audit", "reading", run, "--tasks", "ssl_rotation_90")
    assert one.returncode == 0 and "ssl4rl_scenes" not in one.stdout
    refused(bench("audit", "reading", run, "--tasks", "ssl_rotation_9"), 2, "did you mean", "ssl_rotation_90")
    assert (run / "result.json").read_bytes() == before
