"""Finds and refuses tasks of lmms-eval by their files, without lmms-eval."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from ssl4rl_bench.core.errors import MissingDependency, UsageError
from ssl4rl_bench.core.names import file_stem, full_name, short_name, task_of_stem
from ssl4rl_bench.task.lmms import captions, registry_files
from ssl4rl_bench.task.lmms.registry_files import Registered, find_registered
from ssl4rl_bench.task.lmms.scope import check_config, check_functions
from ssl4rl_bench.task.registry import per_task

PICTURES = "dataset_path: someone/pictures\ntest_split: test\ndoc_to_visual: !function utils.shown\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "tasks"
    (place / "pictures").mkdir(parents=True)
    (place / "pictures" / "_default").write_text(PICTURES + "generation_kwargs: {max_new_tokens: 7}\n")
    (place / "pictures" / "a.yaml").write_text('include: _default\ntask: "pictures_a"  # the first\n')
    (place / "pictures" / "b.yaml").write_text("include: _default\ntask : pictures_b\ngroup: pictures_all\n")
    (place / "pictures" / "all.yaml").write_text("group: pictures\ntask:\n  - pictures_a\n  - pictures_b\n")
    (place / "pictures" / "utils.py").write_text("def shown(doc):\n    return [doc['image']]\n")
    return place


def test_a_task_is_found_with_its_includes(folder: Path) -> None:
    registered = find_registered("pictures_a", folder)
    assert registered.path.name == "a.yaml" and registered.config["dataset_path"] == "someone/pictures"
    task = registered.taskfile()
    assert (task.name, task.kind, task.split) == ("lmms:pictures_a", "lmms", "test")
    assert task.sampling.max_tokens == 7
    assert find_registered("pictures_b", folder).path.name == "b.yaml"


@pytest.mark.parametrize("changed", ["a.yaml", "_default", "utils.py"])
def test_the_digest_covers_all_that_defines_the_task(folder: Path, changed: str) -> None:
    before = find_registered("pictures_a", folder).sha256
    path = folder / "pictures" / changed
    path.write_text(path.read_text() + "\n# changed\n")
    assert find_registered("pictures_a", folder).sha256 != before
    (folder / "pictures" / "b.yaml").write_text("task: pictures_b\n")
    assert (
        find_registered("pictures_a", folder).version
        in find_registered("pictures_a", folder).taskfile().version
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pictures_c", "has no task pictures_c; did you mean pictures_"),
        ("pictures", "is a group or tag of lmms-eval: name one of lmms:pictures_a, lmms:pictures_b"),
        ("pictures_all", "name one of lmms:pictures_b"),
    ],
)
def test_other_names_are_refused(folder: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_registered(name, folder)


def test_a_file_that_includes_itself(folder: Path) -> None:
    (folder / "pictures" / "a.yaml").write_text("include: a.yaml\ntask: pictures_a\n")
    with pytest.raises(UsageError, match="includes itself"):
        find_registered("pictures_a", folder)


def test_without_lmms_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_files, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"a task named lmms:NAME needs lmms-eval: .*\[lmms\]"):
        find_registered("mmstar")


def task_with(**config: Any) -> Registered:
    pictures = {"doc_to_visual": "utils.shown", "metric_list": [{"metric": "exact_match"}]}
    return Registered("pictures", Path("a.yaml"), pictures | config, "0.7.3", "0" * 64)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"output_type": "generate_until_multi_round"}, "several turns"),
        ({"output_type": "multiple_choice"}, "likelihoods"),
        ({"output_type": "loglikelihood"}, "likelihoods"),
        ({"class": "utils.Own"}, "its code replaces"),
        ({"dataset_kwargs": {"video": True}}, "videos"),
        ({"dataset_kwargs": {"load_from_disk": True}}, "save_to_disk"),
        ({"num_fewshot": 3}, "examples"),
        ({"doc_to_visual": None}, "no image"),
        ({"filter_list": [{"name": "a"}, {"name": "b"}]}, "several ways"),
        ({"metric_list": [{"metric": "coco_CIDEr"}, {"metric": "coco_SPICE"}]}, "coco_SPICE needs SPICE"),
        ({"metric_list": [{"metric": "coco_passthrough"}]}, "benchmark's server"),
        ({"metric_list": [{"metric": "gpt_eval_score"}]}, "judge"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=rf"lmms:pictures is not supported: .*{reason}"):
        check_config(task_with(**config))


def test_a_submission_beside_a_metric_is_no_reason() -> None:
    check_config(task_with(metric_list=[{"metric": "exact_match"}, {"metric": "submission"}]))


def function(source: str, name: str = "score") -> FunctionType:
    """A function as from a file of lmms-eval."""
    scope: dict[str, Any] = {"__name__": "utils"}
    exec(compile(source, "/x/lmms_eval/tasks/pictures/utils.py", "exec"), scope)  # noqa: S102
    return scope[name]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "source",
    [
        "def score(doc, results):\n    import requests\n    return requests.post(doc)",
        "import urllib.request as web\ndef ask(x):\n    return web.urlopen(x)\ndef score(d, r):\n    return ask(d)",
        "class Judge:\n    def ask(self):\n        import openai\n        return openai\njudge = Judge()\n"
        "def score(d, r):\n    return judge.ask()",
    ],
)
def test_functions_that_reach_the_network(source: str) -> None:
    with pytest.raises(UsageError, match="its process_results calls a judge over the network"):
        check_functions("pictures", {"process_results": function(source)})
    with pytest.raises(UsageError, match="its doc_to_visual downloads from addresses"):
        check_functions("pictures", {"doc_to_visual": function(source)})


def test_functions_that_do_not() -> None:
    source = (
        "import re\nfrom urllib.parse import quote\ndef score(d, r):\n    return re.match(quote(d), r[0])"
    )
    check_functions("pictures", {"process_results": function(source)})


def test_captions_need_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions.shutil, "which", lambda name: None)
    with pytest.raises(MissingDependency, match=r"apt-get install default-jre-headless$"):
        captions.check_java(task_with(metric_list=[{"metric": "flickr_CIDEr"}]))
    captions.check_java(task_with())


def test_names() -> None:
    assert full_name("lmms:mmstar") == short_name("lmms:mmstar") == "lmms:mmstar"
    assert file_stem("lmms:mmstar") == "lmms.mmstar" and file_stem("ssl4rl_scenes") == "ssl4rl_scenes"
    for name in ("lmms:mmstar", "ssl4rl_scenes"):
        assert task_of_stem(file_stem(name)) == name
    assert task_of_stem("scenes") == "ssl4rl_scenes"
    assert per_task(["lmms:mmstar=a.parquet"], ["lmms:mmstar", "scenes"]) == {"lmms:mmstar": "a.parquet"}
