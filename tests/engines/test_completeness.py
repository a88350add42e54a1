"""Checkpoints that are not what their files claim are refused from headers; those that are, are not."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoint_folders import (
    BROKEN,
    BROKEN_TEMPLATES,
    GOOD,
    Raw,
    as_float,
    change,
    folder_of,
    load,
    make,
    present_name,
    renamed,
    template_in_tokenizer_config,
    to_file,
    to_shards,
)
from commands import bench
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines.checkpoints.architecture import HEAD, expected
from ssl4rl_bench.engines.checkpoints.completeness import check_complete
from ssl4rl_bench.engines.checkpoints.tensors import Tensor
from ssl4rl_bench.engines.checkpoints.weights import fingerprint, resolve_model

NINE = (
    "no vision tower",
    "one MLP weight missing",
    "no final norm",
    "prefix module.",
    "prefix base_model.model.",
    "untied without a head",
    "an index of half the tensors",
    "a single file beside shards",
    "an adapter beside",
)


@pytest.mark.slow
@pytest.mark.parametrize("form", GOOD)
def test_whole_checkpoints_resolve(form: str, tmp_path: Path) -> None:
    GOOD[form](tmp_path / "model")
    assert len(resolve_model(str(folder_of(tmp_path / "model")), chat=True).fingerprint) == 64


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_checkpoints_are_refused_with_cause_and_repair(kind: str, tmp_path: Path) -> None:
    made, words = BROKEN[kind]
    made(tmp_path / "model")
    with pytest.raises(ModelError) as caught:
        resolve_model(str(tmp_path / "model"))
    text = str(caught.value)
    assert "\n" not in text and caught.value.exit_code == 2
    assert str(tmp_path / "model") in text
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("kind", BROKEN_TEMPLATES)
def test_a_checkpoint_without_a_chat_template_is_not_asked(kind: str, tmp_path: Path) -> None:
    BROKEN_TEMPLATES[kind](tmp_path / "model")
    resolve_model(str(tmp_path / "model"))
    with pytest.raises(
        ModelError, match=r"no chat template, neither in chat_template\.jinja nor in tokenizer_config"
    ):
        resolve_model(str(tmp_path / "model"), chat=True)


def command(*words: str | Path) -> tuple[int, str, str]:
    """Exit code, output and errors of a command, which must import neither torch nor transformers."""
    heavy = {"torch", "transformers"} - {*sys.modules}
    done = bench(*words)
    assert not heavy & {*sys.modules}
    return done.code, done.out, done.err


@pytest.mark.parametrize("kind", NINE)
def test_run_refuses_in_one_line_before_torch_is_imported(kind: str, tmp_path: Path) -> None:
    BROKEN[kind][0](tmp_path / "model")
    asked = ("run", "--model", tmp_path / "model", "--tasks", "scenes", "--out", tmp_path / "run")
    code, out, error = command(*asked)
    assert (code, out) == (2, ""), error
    assert len(error.strip().splitlines()) == 1 and "Traceback" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prefix module.", "a value head", "an adapter beside"])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "--tasks", "scenes", "--engine", "hf", "--model", "MODEL"),
        ("run", "--tasks", "scenes", "--engine", "vllm", "--model", "MODEL"),
        ("run", "--tasks", "scenes", "--dry-run", "--model", "MODEL"),
        ("run", "--tasks", "scenes", "--model", "tiny-base", "--model", "MODEL"),
        ("ask", "--model", "MODEL", "hello"),
        ("interpolate", "MODEL", "--share", "0.5", "--out", "OUT"),
        ("interpolate", "tiny-base", "--base", "MODEL", "--share", "0.5", "--out", "OUT"),
        ("train", "tiny_rotation", "--set", "model.base=MODEL", "--out", "OUT"),
        ("train", "tiny_rotation", "--set", "model.base=MODEL", "--dry-run"),
        (
            "watch",
            "FOLDER",
            "--tasks",
            "scenes",
            "--policy",
            "POLICY",
            "--once",
            "--interval",
            "0.1",
            "--engine",
            "hf",
            "--out",
            "OUT",
        ),
    ],
    ids=" ".join,
)
def test_every_command_goes_through_the_same_check(words: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    BROKEN[kind][0](tmp_path / "train" / "step-000050")
    (tmp_path / "gate.toml").write_text('[[rule]]\ntask = "scenes"\nkind = "at_least"\nvalue = 10\n')
    places = {
        "MODEL": tmp_path / "train" / "step-000050",
        "OUT": tmp_path / "out",
        "FOLDER": tmp_path / "train",
        "POLICY": tmp_path / "gate.toml",
    }
    asked = []
    for word in words:
        for name, place in places.items():
            word = word.replace(name, str(place))
        asked.append(word)
    code, out, error = command(*asked)
    said = " ".join((out + error).split())
    expected_words = {
        "prefix module.": "lacks 116",
        "a value head": "does not ask for",
        "an adapter beside": "adapter",
    }
    assert code == 2, said
    assert expected_words[kind] in said, said
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", BROKEN_TEMPLATES)
@pytest.mark.parametrize("words", [("run", "--tasks", "scenes", "--model"), ("ask", "hello", "--model")])
def test_no_template_stops_before_torch_is_imported(
    kind: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    BROKEN_TEMPLATES[kind](tmp_path / "model")
    code, out, error = command(*words, tmp_path / "model")
    assert (code, out) == (2, ""), error
    assert "chat_template.jinja" in error and len(error.strip().splitlines()) == 1


WANTED = expected(json.loads((make.__globals__["TINY"] / "config.json").read_text()))
assert WANTED is not None
NAMES = sorted(set(WANTED.shapes) - {HEAD})
HEADERS = {
    present_name(name): Tensor(Path("x"), raw.dtype, raw.shape, 0, len(raw.data))
    for name, raw in load().items()
}
CONFIG = json.loads((make.__globals__["TINY"] / "config.json").read_text())


@pytest.mark.slow
@given(st.sets(st.sampled_from(NAMES), min_size=1))
@settings(max_examples=examples(300), deadline=None)
def test_whatever_is_missing_is_counted_and_named(missing: set[str]) -> None:
    left = {name: tensor for name, tensor in HEADERS.items() if name not in missing}
    with pytest.raises(ModelError, match=f"lacks {len(missing)} of the 116 tensors") as caught:
        check_complete(Path("m"), CONFIG, left)
    first = next(name for name in WANTED.shapes if name in missing)
    assert first in str(caught.value)


@given(st.sampled_from(NAMES), st.lists(st.integers(0, 1000), max_size=5))
@settings(max_examples=examples(300), deadline=None)
def test_any_other_shape_is_refused(name: str, shape: list[int]) -> None:
    tensor = HEADERS[name]
    if tuple(shape) == tensor.shape:
        return
    other = Tensor(tensor.path, tensor.dtype, tuple(shape), 0, 0 if 0 in shape else 2)
    with pytest.raises(ModelError, match="another shape" if other.size else "empty"):
        check_complete(Path("m"), CONFIG, {**HEADERS, name: other})


@pytest.mark.slow
@given(
    st.lists(
        st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="_"), min_size=1),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=examples(300), deadline=None)
def test_any_prefix_is_refused_and_named(parts: list[str]) -> None:
    prefix = ".".join(parts) + "."
    if prefix in ("model.", "visual."):  # a legacy name's own
        return
    with pytest.raises(ModelError, match="lacks 116 of the 116"):
        check_complete(Path("m"), CONFIG, {prefix + name: tensor for name, tensor in HEADERS.items()})


@given(st.text(min_size=1, max_size=40))
@settings(max_examples=examples(300), deadline=None)
def test_an_extra_tensor_of_any_name_is_refused_on_one_printable_line(name: str) -> None:
    if WANTED.knows(name):
        return
    with pytest.raises(ModelError, match="does not ask for") as caught:
        check_complete(Path("m"), CONFIG, {**HEADERS, name: HEADERS[NAMES[0]]})
    assert str(caught.value).isprintable()


@given(draw=st.data())
@settings(max_examples=examples(25), deadline=None)
@pytest.mark.slow
def test_any_cut_of_an_index_is_refused(draw: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        cut_an_index(Path(scratch) / "model", draw)


def cut_an_index(place: Path, data: st.DataObject) -> None:
    make(place)
    (place / "model.safetensors").unlink()
    weight_map = to_shards(place, load(), data.draw(st.integers(1, 4)))
    kept = data.draw(st.sets(st.sampled_from(sorted(weight_map)), max_size=len(weight_map) - 1))
    index = {"weight_map": {name: weight_map[name] for name in kept}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError):
        resolve_model(str(place))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("additional_chat_templates/tools.jinja", "{{ messages }}"),
        ("chat_template.json", '{"chat_template": "x"}'),
        ("tokenizer.model", "x"),
        ("tokenizer.4.0.0.json", "{}"),
        ("qwen.tiktoken", "x"),
        ("vocab.json", "{}"),
        ("merges.txt", "x"),
        ("video_preprocessor_config.json", "{}"),
        ("qformer_tokenizer/tokenizer.json", "{}"),
        ("hf_quant_config.json", "{}"),
        ("generation_config.json", '{"repetition_penalty": 1.3}'),
    ],
)
def test_whatever_can_change_replies_is_in_the_fingerprint(name: str, content: str, tmp_path: Path) -> None:
    place = make(tmp_path / "model")
    before = fingerprint(place)
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text(content)
    assert fingerprint(place) != before


@pytest.mark.parametrize(
    "name", ["README.md", "trainer/rng_state.pth", "adapter/adapter_config.json", "training_args.bin"]
)
def test_what_cannot_change_replies_is_not(name: str, tmp_path: Path) -> None:
    place = make(tmp_path / "model")
    before = fingerprint(place)
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text("x")
    assert fingerprint(place) == before


def test_other_families_and_quantized_weights_are_left_to_the_library(tmp_path: Path) -> None:
    for changes in (
        {"model_type": "llava"},
        {"quantization_config": {"quant_method": "awq"}},
        {"text_config": None},
    ):
        assert expected({**CONFIG, **changes}) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_size", "192"), ("num_hidden_layers", 10**9), ("vocab_size", 0), ("intermediate_size", True)],
)
def test_a_config_that_states_no_size_is_refused_by_name(key: str, value: object, tmp_path: Path) -> None:
    place = make(tmp_path / "model")
    text = json.loads((place / "config.json").read_text())["text_config"]
    change(place, {"text_config": {**text, key: value}})
    with pytest.raises(ModelError, match=rf"config\.json: {key} is"):
        resolve_model(str(place))


def test_a_file_that_only_transformers_would_read_is_refused(tmp_path: Path) -> None:
    place = make(tmp_path / "model", config={"transformers_weights": "other.safetensors"})
    with pytest.raises(ModelError, match="transformers_weights"):
        resolve_model(str(place))


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    place = make(tmp_path / "model")
    (place / "model.safetensors").unlink()
    to_shards(place, load(), 2)
    again = place / "model-00002-of-00002.safetensors"
    to_file(again, load(again) | {"model.norm.weight": load()["model.norm.weight"], **load(again)})
    if "model.norm.weight" in load(place / "model-00001-of-00002.safetensors"):
        with pytest.raises(ModelError, match="twice"):
            resolve_model(str(place))
    to_file(again, load())
    with pytest.raises(ModelError, match="twice"):
        resolve_model(str(place))


def test_a_shape_that_contradicts_its_bytes_is_a_damaged_header(tmp_path: Path) -> None:
    tensors = load()
    raw = tensors["model.norm.weight"]
    tensors["model.norm.weight"] = Raw(raw.dtype, (193,), raw.data)
    make(tmp_path / "model", tensors)
    with pytest.raises(ModelError, match="damaged header"):
        resolve_model(str(tmp_path / "model"))


def test_legacy_names_have_other_headers_and_thus_another_fingerprint(tmp_path: Path) -> None:
    made: dict[str, Callable[[], dict[str, Raw]]] = {
        "old": load,
        "new": lambda: renamed(present_name),
        "wide": lambda: as_float(load(), "F32"),
    }
    prints = {fingerprint(make(tmp_path / name, tensors())) for name, tensors in made.items()}
    assert len(prints) == 3
    template_in_tokenizer_config(tmp_path / "template")
    assert fingerprint(tmp_path / "template") not in prints
