"""What a checkpoint's folder says of its prompts, whatever form its trainer left it in."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.served import chat_template, served, template_digest
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.evaluation import EvaluationPlan, Subject, spec_of
from ssl4rl_bench.run.spec import RunSpec

TEXT = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
OTHERS = [{"name": "tools", "template": "x"}, {"name": "default", "template": TEXT}]


def put(folder: Path, **content: Any) -> Path:
    for name, value in content.items():
        stem, _, end = name.rpartition("__")
        text = value if isinstance(value, str) else json.dumps(value)
        (folder / f"{stem}.{end}").write_bytes(text.encode())
    return folder


@pytest.mark.parametrize(
    "content",
    [
        {"chat_template__jinja": TEXT},
        {"chat_template__jinja": TEXT + "\n"},
        {"chat_template__jinja": TEXT.replace("\n", "\r\n")},
        {"chat_template__json": {"chat_template": TEXT}},
        {"tokenizer_config__json": {"chat_template": TEXT}},
        {"tokenizer_config__json": {"chat_template": OTHERS}},
        {"processor_config__json": {"chat_template": TEXT}},
        {"chat_template__jinja": TEXT, "tokenizer_config__json": {"chat_template": "another"}},
        {
            "chat_template__json": {"chat_template": TEXT},
            "tokenizer_config__json": {"chat_template": "another"},
        },
    ],
)
def test_one_template_has_one_digest_in_whatever_file_it_stands(tmp_path: Path, content: Any) -> None:
    assert served(put(tmp_path, **content)) == {"chat_template": template_digest(TEXT)}


def test_another_template_has_another_digest_and_none_is_absent(tmp_path: Path) -> None:
    assert template_digest(TEXT) != template_digest(TEXT + "\n\n") != template_digest(TEXT + " ")
    assert served(put(tmp_path, tokenizer_config__json="{", chat_template__json=[1])) == {}
    assert chat_template(put(tmp_path, tokenizer_config__json={"chat_template": [{"name": "x"}]})) is None


@pytest.mark.parametrize(
    ("content", "limits"),
    [
        ({"preprocessor_config__json": {"min_pixels": 3136, "max_pixels": 12845056}}, (3136, 12845056)),
        ({"preprocessor_config__json": {"size": {"shortest_edge": 4, "longest_edge": 9}}}, (4, 9)),
        ({"processor_config__json": {"image_processor": {"size": {"longest_edge": 9}}}}, (None, 9)),
        (
            {
                "processor_config__json": {"image_processor": {"max_pixels": 9}},
                "preprocessor_config__json": {"max_pixels": 8},
            },
            (None, 9),
        ),
        (
            {
                "processor_config__json": {"processor_class": "X"},
                "preprocessor_config__json": {"max_pixels": 8},
            },
            (None, 8),
        ),
        ({"preprocessor_config__json": {"size": {"height": 448, "width": 448}}}, (None, None)),
        ({"preprocessor_config__json": {"max_pixels": "many", "size": 7}}, (None, None)),
    ],
)
def test_pixel_limits_are_read_from_either_file(
    tmp_path: Path, content: Any, limits: tuple[int | None, int | None]
) -> None:
    found = served(put(tmp_path, **content))
    assert (found.get("min_pixels"), found.get("max_pixels")) == limits


def test_the_bundled_checkpoints_serve_alike_and_a_run_records_it() -> None:
    root = Path(str(files("ssl4rl_bench"))) / "checkpoints"
    folders = sorted(path.parent for path in root.glob("*/config.json"))
    found = [served(folder) for folder in folders]
    assert len(found) > 1 and all(each == found[0] for each in found)
    assert found[0]["max_pixels"] == 12544 and len(found[0]["chat_template"]) == 16
    model = resolve_model("tiny-base")
    plan = EvaluationPlan(("tiny-base",), {}, "hf", EngineOptions())
    spec = spec_of(plan, Subject("tiny-base", model, model.fingerprint), "hf", "5.17.0", [])
    assert spec.served == found[0] and RunSpec.from_json(spec.to_json()) == spec
