"""From a name to a loaded task."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mmbench_data import questions, write_parquet, write_tsv

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.task import registry, scenes
from ssl4rl_bench.task.base import LoadOptions
from ssl4rl_bench.task.mmbench.task import load_mmbench
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import load_taskfile


def test_the_built_in_task() -> None:
    task = load_task("scenes", limit=30)
    assert isinstance(task, Task)
    assert (task.name, task.source, task.warnings) == ("ssl4rl_scenes", "built in", ())
    assert task.n_groups == 30
    assert len(set(task.counts()["l2"])) == 6
    assert load_task("ssl4rl_scenes", limit=30) == task


@pytest.fixture
def drawn_anew(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Forgets what this process has drawn, and returns a list that receives the leaf of each drawn picture."""
    drawn: list[str] = []
    draw = scenes.question

    def question(stream: str, leaf: scenes.Leaf, number: int) -> scenes.Question:
        drawn.append(leaf.name)
        return draw(stream, leaf, number)

    monkeypatch.setattr(scenes, "question", question)
    for module, name in ((scenes, "_question_rows"), (registry, "_drawn_rows"), (registry, "_drawn")):
        monkeypatch.setattr(module, name, functools.cache(getattr(module, name).__wrapped__))
    return drawn


@pytest.mark.parametrize("limit", [1, 6, 14, 40])
def test_a_limit_draws_only_the_questions_that_are_asked(drawn_anew: list[str], limit: int) -> None:
    task = load_task("scenes", limit=limit)
    assert len(drawn_anew) == task.n_groups == limit
    assert sorted(drawn_anew) == sorted(
        sample.categories.l3 for sample in {sample.group: sample for sample in task.samples}.values()
    )


def test_a_picture_is_drawn_once_for_several_limits(drawn_anew: list[str]) -> None:
    for limit in (3, 12, 12, 5, 14):
        load_task("scenes", limit=limit)
    assert len(drawn_anew) == 14


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 7, 30, 599, 600, 601])
def test_a_limit_keeps_the_same_questions_whether_or_not_the_others_are_drawn(limit: int) -> None:
    few = registry.load_benchmark("scenes", limit=limit)
    all_rows = registry._drawn_rows("ssl4rl_scenes", "dev", None)
    limited = load_mmbench(
        load_taskfile("scenes"), all_rows, source="built in", where="ssl4rl_scenes", limit=limit
    )
    assert few == limited
    assert few.rows == limited.rows


@pytest.mark.slow
def test_a_limited_task_of_scenes_says_how_many_questions_there_are() -> None:
    assert load_task("scenes", limit=2).partial_reasons == (
        "limited to 2 of 600 questions, in 2 of 6 abilities (--limit 6 covers all)",
    )
    assert load_task("scenes", limit=600).partial_reasons == ()


def test_a_limit_below_one_is_refused_before_anything_is_drawn_for_it() -> None:
    with pytest.raises(UsageError, match="--limit 0 leaves nothing to ask"):
        load_task("scenes", limit=0)


def test_the_warnings_about_an_edition_of_scenes_do_not_depend_on_a_limit() -> None:
    task = replace(load_taskfile("scenes"), edition="dev_v1.0")
    loaded = [registry._load_benchmark(task, LoadOptions(limit=limit)) for limit in (None, 3)]
    assert len(loaded[0].warnings) == 1
    assert "1164" in loaded[0].warnings[0]
    assert loaded[1].warnings == loaded[0].warnings


def test_every_layout_gives_the_same_task(tmp_path: Path) -> None:
    rows = questions(3, hint="图中")
    (tmp_path / "shards").mkdir()
    write_parquet(tmp_path / "shards" / "dev-00000-of-00002.parquet", rows[:5])
    write_parquet(tmp_path / "shards" / "dev-00001-of-00002.parquet", rows[5:], base64_images=True)
    tasks = [
        load_task("mmbench_dev_cn", data=str(path))
        for path in (
            write_tsv(tmp_path / "a.tsv", rows),
            write_parquet(tmp_path / "a.parquet", rows),
            write_parquet(tmp_path / "b.parquet", rows, base64_images=True),
            tmp_path / "shards",
        )
    ]
    assert len({task.data_sha256 for task in tasks}) == 1
    assert all(task.samples == tasks[0].samples for task in tasks)
    assert [task.source for task in tasks] == ["a.tsv", "a.parquet", "b.parquet", "shards"]


def test_messages_name_the_path_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = questions(2)
    rows[3]["answer"] = "Q"
    write_tsv(tmp_path / "a.tsv", rows)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^\./a\.tsv, line 5 \(index 1000001\): the answer 'Q'"):
        load_task("mmbench_dev_en", data="./a.tsv")
    task = load_task("mmbench_dev_en", data="./a.tsv", skip_bad=True, prompt="cot")
    assert (task.n_groups, task.n_groups_skipped, task.prompt) == (1, 1, "cot")


@pytest.mark.parametrize(
    "data", ["nowhere.tsv", "folder/nowhere.parquet", "no-such-thing", "/no/such/thing", "a/b/c"]
)
def test_data_that_is_not_there(data: str) -> None:
    with pytest.raises(UsageError, match="neither a file or folder nor a hub id"):
        load_task("mmbench_dev_en", data=data)


def test_a_task_file_with_its_data_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "task: ssl4rl_mine\n"
        "dataset_path: csv\n"
        "dataset_kwargs: {data_files: {dev: mine.tsv}}\n"
        "test_split: dev\n"
        "lmms_eval_specific_kwargs: {default: {prompt: direct}}\n"
        "generation_kwargs: {max_new_tokens: 8, until: []}\n"
        "reasoning_tags: none\n"
        "metadata: {version: 1, title: Mine, edition: dev_v1.O}\n",
        "utf-8",
    )
    with pytest.raises(DataError, match=r"mine\.tsv, which does not come with this package.*--data"):
        load_task(str(tmp_path / "mine.yaml"))
    write_tsv(tmp_path / "mine.tsv", questions(2))
    with pytest.raises(UsageError, match=r"unknown edition dev_v1\.O; did you mean dev_v1\.[01]\?"):
        load_task(str(tmp_path / "mine.yaml"))
    text = (tmp_path / "mine.yaml").read_text("utf-8").replace(", edition: dev_v1.O", "")
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    task = load_task(str(tmp_path / "mine.yaml"))
    assert (task.name, task.prompt, task.sampling.max_tokens, task.n_groups) == (
        "ssl4rl_mine",
        "direct",
        8,
        2,
    )
    (tmp_path / "mine.yaml").write_text(text.replace("title: Mine", "title: Mine, builtin: scene"), "utf-8")
    with pytest.raises(UsageError, match="names the built-in data scene; only scenes"):
        load_task(str(tmp_path / "mine.yaml"))


def test_loading_a_file_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "a.tsv", questions(2))
    code = (
        "import sys; from ssl4rl_bench.task.registry import load_task\n"
        "load_task('mmbench_dev_en', data=sys.argv[1])\n"
        "print({'torch', 'transformers', 'datasets', 'pandas', 'pyarrow', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
