"""Task files: what they may say, and what is said when they may not."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.parsing import parse_yaml
from ssl4rl_bench.task import taskfile
from ssl4rl_bench.task.prompts import prompt_styles
from ssl4rl_bench.task.taskfile import load_taskfile, task_names

TASKS = Path(taskfile.__file__).parents[1] / "tasks"

GOOD = """
task: ssl4rl_mine
dataset_path: parquet
dataset_kwargs: {data_files: {dev: mine.parquet}}
test_split: dev
doc_to_text: !function ssl4rl_bench.interop.lmms.doc_to_text
lmms_eval_specific_kwargs: {default: {prompt: cot}}
generation_kwargs: {max_new_tokens: 64, temperature: 0.5, top_p: 0.9, top_k: 5, until: []}
reasoning_tags: none
metadata: {version: 1.5, title: Mine}
"""


def load(tmp_path: Path, text: str) -> taskfile.TaskFile:
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    return load_taskfile(str(path))


def test_the_shipped_tasks() -> None:
    names = task_names()
    assert {
        "ssl4rl_scenes",
        "ssl4rl_mmbench_dev_en",
        "ssl4rl_mmbench_dev_cn",
        "ssl4rl_mmbench_test_en",
    } <= set(names)
    assert names == sorted(names)
    for name in names:
        task = load_taskfile(name)
        assert task.name == name
        assert task == load_taskfile(name.removeprefix("ssl4rl_"))
        assert task.prompt == "ssl4rl"
        assert task.sampling.temperature == 0
        assert task.sampling.max_tokens == (128 if task.builtin else 2048)


def test_every_function_that_a_task_names_is_there() -> None:
    names = set()
    for path in TASKS.glob("*.yaml"):
        for token in yaml.scan(path.read_text("utf-8")):
            if isinstance(token, yaml.TagToken):
                names.add(path)
        for line in path.read_text("utf-8").splitlines():
            if "!function" in line:
                module, _, function = line.split("!function ")[1].strip().rpartition(".")
                assert callable(getattr(importlib.import_module(module), function))
    assert TASKS / "_mmbench.yaml" in names


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    task = load(tmp_path, GOOD)
    assert (task.name, task.version, task.title, task.prompt) == ("ssl4rl_mine", "1.5", "Mine", "cot")
    assert task.data_file == tmp_path / "mine.parquet"
    sampling = task.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k) == (64, 0.5, 0.9, 5)
    assert (task.dataset_name, task.revision, task.edition, task.builtin) == (None, None, None, None)


def test_a_file_anywhere_includes_those_of_the_package(tmp_path: Path) -> None:
    path = tmp_path / "charts.yaml"
    text = "task: ssl4rl_charts\ndataset_path: a/b\ntest_split: dev\nmetadata: {version: 1, title: Charts}\n"
    path.write_text(f"include: _mmbench.yaml\n{text}")
    assert load_taskfile(str(path)).prompt == "ssl4rl"
    (tmp_path / "_mmbench.yaml").write_text("lmms_eval_specific_kwargs: {default: {prompt: direct}}\n")
    with pytest.raises(UsageError, match="generation_kwargs"):  # the file beside it comes first
        load_taskfile(str(path))


@pytest.mark.parametrize("value", ["[a, b]", "{a: 1}", "{a: ''}", "{1: A}"])
def test_columns_map_abilities_to_headers(value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"metadata\.columns"):
        load(
            tmp_path,
            GOOD.replace("title: Mine", f"title: Mine, columns: {value}"),
        )


def test_what_a_file_includes_comes_under_its_own_keys(tmp_path: Path) -> None:
    (tmp_path / "_base.yaml").write_text(GOOD, "utf-8")
    task = load(tmp_path, "include: _base.yaml\ntask: ssl4rl_other\nmetadata: {version: 2, title: Other}")
    assert (task.name, task.version, task.prompt) == ("ssl4rl_other", "2", "cot")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("test_split: dev", "test_splt: dev", "unknown key test_splt; did you mean test_split"),
        (
            "temperature: 0.5",
            "temprature: 0.5",
            "unknown key temprature in generation_kwargs; did you mean temperature",
        ),
        ("{prompt: cot}", "{promt: cot}", "in lmms_eval_specific_kwargs.default; did you mean prompt"),
        ("title: Mine", "titel: Mine", "unknown key titel in metadata"),
        ("prompt: cot", "prompt: cott", "did you mean cot"),
        ("task: ssl4rl_mine", "task: mine", "must start with ssl4rl_"),
        ("test_split: dev", "", "test_split is missing"),
        ("max_new_tokens: 64", "max_new_tokens: many", "generation_kwargs.max_new_tokens has the wrong type"),
        ("max_new_tokens: 64", "max_new_tokens: true", "generation_kwargs.max_new_tokens has the wrong type"),
        ("until: []", "until: ['\\n']", "set generation_kwargs.until to"),
        ("reasoning_tags: none", "reasoning_tags: think", "reasoning_tags to none"),
        ("metadata: {", "metadata: [", "is not YAML"),
        ("metadata: {version: 1.5, title: Mine}", "metadata: 3", "metadata must be a mapping"),
        (
            "ssl4rl_bench.interop.lmms.doc_to_text",
            "os.system",
            "names os.system, which is outside ssl4rl_bench",
        ),
        ("ssl4rl_bench.interop.lmms.doc_to_text", "ssl4rl_bench_evil.f", "outside ssl4rl_bench"),
        (
            "!function ssl4rl_bench.interop.lmms.doc_to_text",
            "!!python/name:os.system x",
            "is not YAML",
        ),
        (
            "test_split: dev",
            "test_split: dev\ninclude: ../up.yaml",
            "include must be the name of a file in the same folder",
        ),
        (
            "test_split: dev",
            "test_split: dev\ninclude: none.yaml",
            "includes none.yaml, which is neither in its folder nor",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as error:
        load(tmp_path, GOOD.replace(old, new))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "- a\n- b", "just text"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="not a mapping"):
        load(tmp_path, text)


def test_a_name_that_is_no_task() -> None:
    with pytest.raises(UsageError, match="no task mmbench_dev_eng; did you mean ssl4rl_mmbench_dev_en"):
        load_taskfile("mmbench_dev_eng")
    with pytest.raises(UsageError, match="cannot be read"):
        load_taskfile("nowhere.yaml")
    for name in ("_mmbench", "prompts", "../tasks/scenes"):
        with pytest.raises(UsageError, match="There is no task"):
            load_taskfile(name)


def test_a_function_is_only_a_name() -> None:
    data = b"f: !function no_such_package.at_all"
    value = parse_yaml(data, ("!function", taskfile.FunctionName))["f"]
    assert isinstance(value, taskfile.FunctionName)
    assert value == "no_such_package.at_all"


def test_prompt_styles_are_listed() -> None:
    assert prompt_styles() == ["direct", "cot", "ssl4rl", "boxed", "vlmevalkit", "lmms-eval"]
