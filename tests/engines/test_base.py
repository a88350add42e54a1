"""Engine options, their parser, and making engines by name."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench import engines
from ssl4rl_bench.core.errors import MissingDependency, UsageError
from ssl4rl_bench.core.types import Engine
from ssl4rl_bench.engines import ENGINES, EngineOptions, create, resolve_name
from ssl4rl_bench.engines.base import DTYPES, error_completion, reason
from ssl4rl_bench.engines.checkpoints.weights import Model

MODEL = Model(name="m", path=Path("/nowhere"), fingerprint="0" * 64, revision=None)


def test_pairs_are_parsed_by_type() -> None:
    options = EngineOptions.from_pairs(
        [
            "dtype=float32",
            "max-pixels=1000",
            "gpu_memory_utilization=0.5",
            "base_urls=http://a/v1, http://b/v1",
            "replies=x/y.jsonl",
            "served_model=a=b",
        ]
    )
    assert options == EngineOptions(
        dtype="float32",
        max_pixels=1000,
        gpu_memory_utilization=0.5,
        base_urls=("http://a/v1", "http://b/v1"),
        replies=Path("x/y.jsonl"),
        served_model="a=b",
    )


def test_arguments_of_vllm_are_collected() -> None:
    pairs = [
        "vllm.max-num-seqs=8",
        'vllm.compilation_config={"mode": 3, "sizes": [1, 2]}',
        "vllm.max_num_seqs=9",
    ]
    options = EngineOptions.from_pairs(pairs)
    assert options.vllm == ("max_num_seqs=9", 'compilation_config={"mode": 3, "sizes": [1, 2]}')
    assert EngineOptions.from_pairs(["vllm.block_size=32"], options).vllm == (*options.vllm, "block_size=32")
    assert EngineOptions.from_pairs(["vllm="], options).vllm == ()


def test_pairs_change_the_base_and_none_empties() -> None:
    base = EngineOptions(max_pixels=1000, min_pixels=10, batch_size=8)
    assert EngineOptions.from_pairs(["max_pixels=none"], base) == dataclasses.replace(base, max_pixels=None)
    assert EngineOptions.from_pairs([], base) == base


def test_every_field_can_be_set_by_its_own_text() -> None:
    """Writing the defaults as text and reading them back gives the defaults."""
    defaults = EngineOptions()
    pairs = []
    for field in dataclasses.fields(defaults):
        value = getattr(defaults, field.name)
        pairs.append(f"{field.name}={','.join(value) if isinstance(value, tuple) else value}")
    assert EngineOptions.from_pairs(pairs) == defaults


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("dtyp=float32", "did you mean dtype?"),
        ("dtype=float31", "did you mean float32?"),
        ("margin=no", "margin must be true or false, not 'no'"),
        ("batch_size=many", "must be a whole number, not 'many'"),
        ("batch_size=1.5", "must be a whole number"),
        ("concurrency=none", "must be a whole number"),
        ("mock_latency=slow", "must be a number"),
        ("batch_size", "not of the form key=value"),
        ("batch_size=", "needs a value"),
        ("batch_size=0", "at least 1"),
        ("renderers=-1", "at least 0"),
        ("vllm=eager", "names no argument: write vllm.KEY=VALUE"),
        ("vllm.dtype=half", "is an engine option: write --set dtype=half"),
        ("vllm.trust_remote_code=true", "cannot be set"),
        ("max_pixels=-1", "at least 1"),
        ("gpu_memory_utilization=1.5", r"in \(0, 1\]"),
        ("mock_faults=2", r"in \[0, 1\]"),
        ("mock_faults=nan", r"in \[0, 1\]"),
        ("mock_latency=-1", "at least 0 seconds"),
        ("mock_latency=nan", "at least 0 seconds"),
    ],
)
def test_a_wrong_pair_is_told(pair: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        EngineOptions.from_pairs([pair])
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.sampled_from(dataclasses.fields(EngineOptions)), st.text(max_size=12))
def test_any_value_is_taken_or_told(field: dataclasses.Field[object], text: str) -> None:
    try:
        options = EngineOptions.from_pairs([f"{field.name}={text}"])
    except UsageError as error:
        assert field.name in str(error)
    else:
        assert isinstance(getattr(options, field.name), int | float | str | tuple | Path | None)


def test_crossed_pixel_limits_are_told() -> None:
    with pytest.raises(UsageError, match="min_pixels"):
        EngineOptions(min_pixels=10, max_pixels=5)


def test_an_unknown_engine_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"did you mean vllm\?"):
        create("vlm", MODEL, EngineOptions())


@pytest.mark.parametrize("name", [name for name in ENGINES if name not in ("auto", "mock", "replay")])
def test_a_missing_package_names_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_installed", lambda package: False)
    with pytest.raises(MissingDependency, match=f"engine {name} needs .*pip install .*ssl4rl-bench"):
        create(name, MODEL, EngineOptions())


def test_auto_without_vllm_is_hf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_installed", lambda package: package != "vllm")
    assert resolve_name("auto") == "hf"


def test_names_other_than_auto_stand_for_themselves() -> None:
    assert [resolve_name(name) for name in ENGINES if name != "auto"] == [n for n in ENGINES if n != "auto"]


@pytest.mark.parametrize("name", ["hf", "vllm"])
def test_a_local_engine_needs_a_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_installed", lambda package: True)
    with pytest.raises(UsageError, match="needs a model"):
        create(name, None, EngineOptions())


@pytest.mark.parametrize(("name", "package"), [("hf", "transformers"), ("vllm", "vllm")])
def test_making_an_engine_loads_nothing(name: str, package: str) -> None:
    """In a new process, as this one may have loaded torch already."""
    code = (
        "import sys; from pathlib import Path\n"
        "from ssl4rl_bench import engines; from ssl4rl_bench.engines.checkpoints.weights import Model\n"
        "model = Model('m', Path('/nowhere'), '', None)\n"
        f"engine = engines.create({name!r}, model, engines.EngineOptions())\n"
        f"assert engine.name == {name!r} and engine.version[0].isdigit(), engine.version\n"
        "engine.close(); engine.close()\n"
        "print(sorted({'torch', 'transformers', 'vllm', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    if not engines._installed(package):
        pytest.skip(f"{package} is not installed")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["hf", "vllm"])
def test_local_engines_keep_the_protocol_and_the_dtype_in_their_version(name: str) -> None:
    if not engines._installed({"hf": "transformers"}.get(name, name)):
        pytest.skip("not installed")
    plain = create(name, MODEL, EngineOptions())
    wide = create(name, MODEL, EngineOptions(dtype="float32"))
    assert isinstance(plain, Engine)
    assert wide.version == f"{plain.version}+float32"


def test_dtypes_hold_the_default() -> None:
    assert EngineOptions().dtype in DTYPES


def test_an_error_completion_is_one_line_and_has_no_text() -> None:
    completion = error_completion("it\n  broke", 1.5)
    assert (completion.text, completion.finish_reason, completion.error) == ("", "error", "it broke")
    assert completion.latency_s == 1.5
    assert error_completion("").error


def test_a_reason_is_short() -> None:
    assert reason(UsageError("what to do")) == "what to do"
    assert reason(ValueError("first\nsecond")) == "ValueError: first"
    assert reason(KeyError()) == "KeyError"
