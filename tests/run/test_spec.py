from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import SyntheticTask

from ssl4rl_bench.core.identity import canonical_json, messages_json, seed_of, sha256_json
from ssl4rl_bench.core.redaction import redact, redact_argv
from ssl4rl_bench.core.types import EncodedImage, HubSource, ImagePart, Message, Sampling, TextPart, VideoPart
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.spec import RunSpec, TaskSpec

TASK = SyntheticTask(2)
SPEC = RunSpec(
    model="some/model",
    fingerprint="ab" * 32,
    tasks={TASK.name: TaskSpec.of(TASK)},
    engine="hf",
    engine_version="5.17.0",
    min_pixels=35840,
    engine_options={"dtype": "float32"},
)


def test_a_spec_reads_back_from_its_json() -> None:
    again = RunSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    assert again == SPEC and again.sha256 == SPEC.sha256 and again.diff(SPEC) == []


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("model.fingerprint", replace(SPEC, fingerprint="cd")),
        ("engine.name", replace(SPEC, engine="vllm")),
        ("engine.version", replace(SPEC, engine_version="5.18.0")),
        ("engine.options.dtype", replace(SPEC, engine_options={"dtype": "bfloat16"})),
        ("engine.options.dtype", replace(SPEC, engine_options={})),
        ("pixels.min", replace(SPEC, min_pixels=None)),
        ("pixels.max", replace(SPEC, max_pixels=1)),
        ("repeats", replace(SPEC, repeats=2)),
        ("seed", replace(SPEC, seed=1)),
        *(
            (
                f"tasks.{TASK.name}.{name}",
                replace(SPEC, tasks={TASK.name: replace(TaskSpec.of(TASK), **{name: value})}),
            )
            for name, value in [("version", "2"), ("data_sha256", "1"), ("prompt", "p"), ("n_samples", 1)]
        ),
        (
            f"tasks.{TASK.name}.sampling.max_tokens",
            replace(SPEC, tasks={TASK.name: TaskSpec.of(TASK, Sampling(max_tokens=1))}),
        ),
    ],
)
def test_each_difference_is_named_and_changes_the_hash(key: str, other: RunSpec) -> None:
    assert SPEC.diff(other) == other.diff(SPEC) == [key]
    assert SPEC.sha256 != other.sha256


def test_another_task_is_another_experiment() -> None:
    other = replace(SPEC, tasks={**SPEC.tasks, "ssl4rl_y": TaskSpec.of(TASK)})
    assert all(key.startswith("tasks.ssl4rl_y.") for key in SPEC.diff(other)) and SPEC.diff(other)


def test_the_name_of_a_model_is_only_a_label() -> None:
    moved = replace(SPEC, model="elsewhere")
    assert moved.diff(SPEC) == [] and moved.sha256 == SPEC.sha256
    assert moved.to_json()["model"]["name"] == "elsewhere"


def test_a_whole_temperature_is_the_same_experiment_as_a_fractional_one() -> None:
    whole = TaskSpec.of(TASK, Sampling(temperature=0, top_p=1))
    assert (
        replace(SPEC, tasks={TASK.name: whole}).sha256
        == replace(SPEC, tasks={TASK.name: TaskSpec.of(TASK, Sampling())}).sha256
    )
    assert canonical_json(whole.sampling.temperature) == "0.0"


def test_each_sample_and_repeat_has_a_seed_and_a_key() -> None:
    spec = replace(SPEC, repeats=3, tasks={TASK.name: TaskSpec.of(TASK, Sampling(temperature=1.0))})
    requests = list(spec.requests(TASK.samples))
    assert [(r.sample.id, r.repeat) for r in requests[:4]] == [("0", 0), ("0", 1), ("0", 2), ("1", 0)]
    assert all(r.seed == seed_of(r.sample.id, r.repeat) for r in requests)
    keys = spec.keys(TASK)
    assert list(keys) == [(r.sample.id, r.repeat) for r in requests]
    assert len(set(keys.values())) == len(keys)


def test_another_seed_draws_other_replies_and_the_first_is_not_written() -> None:
    drawn = replace(SPEC, tasks={TASK.name: TaskSpec.of(TASK, Sampling(temperature=1.0))})
    other = replace(drawn, seed=1)
    assert not set(drawn.keys(TASK).values()) & set(other.keys(TASK).values())
    assert "seed" not in drawn.to_json()
    assert RunSpec.from_json(other.to_json()) == other


def test_greedy_repeats_share_a_key_and_another_model_has_others() -> None:
    spec = replace(SPEC, repeats=2)
    keys = spec.keys(TASK)
    assert keys["0", 0] == keys["0", 1]
    assert not set(keys.values()) & set(replace(spec, fingerprint="cd").keys(TASK).values())
    assert not set(keys.values()) & set(replace(spec, max_pixels=1).keys(TASK).values())


SECRETS = [
    ("https://user:pa55word@host/v1", "pa55word"),
    ("http://token@host:8000", "//token"),
    ("https://host/v1?api_key=abc&x=1", "abc"),
    ("Authorization: Bearer abc.def", "abc.def"),
    ("sk-proj-abcDEF123_-4", "abcDEF"),
    ("hf_" + "AbCdEfGh" * 4, "AbCdEf"),
    ("hf_abc123", "abc123"),
    ("password=hunter2", "hunter2"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_go(text: str, secret: str) -> None:
    shown = redact({"list": [text, (text,)], text: text})
    assert secret not in json.dumps(shown)
    assert json.dumps(shown).count("[redacted]") == 4
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "hf_transfer",
        "task-mmbench",
        "desk-organiser-2",
        "a@b.c",
        "https://host/x@y",
        "max_tokens=5",
        "tokens",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_values_of_secret_variables_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct horse")
    monkeypatch.setenv("LONG_TOKEN", "correct horse battery")
    monkeypatch.setenv("SORT_KEY", "name")
    monkeypatch.setenv("KEYBOARD", "a long enough value")
    text = "x correct horse battery, correct horse, name, a long enough value"
    assert redact(text) == "x [redacted], [redacted], name, a long enough value"


@settings(max_examples=examples(30), deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(), st.lists))
def test_what_is_no_text_is_left_alone(value: object) -> None:
    assert repr(redact(value)) == repr(value)


def test_a_command_line_hides_what_follows_a_secret_flag() -> None:
    argv = ["run", "--api-key", "s3cret", "--hf-token=s3cret", "--max-tokens", "5", "--token", "--verbose"]
    assert redact_argv(argv) == [
        *("run", "--api-key", "[redacted]", "--hf-token=[redacted]"),
        *("--max-tokens", "5", "--token", "--verbose"),
    ]


def test_an_exec_info_names_versions_without_importing(tmp_path: Path) -> None:
    loaded = set(sys.modules)
    info = ExecInfo.capture(
        ["run"], {"replies": tmp_path, "dtype": "auto", "base_urls": ("a",), "attn": None}
    )
    assert not {"torch", "transformers", "vllm"} & (set(sys.modules) - loaded)
    written = json.loads(json.dumps(info.ended("done").to_json()))
    assert written["packages"]["ssl4rl-bench"] and written["packages"]["numpy"]
    assert written["engine_options"] == {
        "replies": str(tmp_path),
        "dtype": "auto",
        "base_urls": ["a"],
        "attn": None,
    }
    assert written["started"] <= written["finished"] and written["outcome"] == "done"
    assert written["machine"]["cpus"] >= 1


def hub_spec(commit: str, data: str, fingerprint: str = SPEC.fingerprint) -> RunSpec:
    task = replace(TaskSpec.of(TASK), hub=HubSource("owner/data@main", data * 40, "en", "dev"))
    return replace(
        SPEC, model="org/name@main", fingerprint=fingerprint, commit=commit * 40, tasks={TASK.name: task}
    )


def test_commits_are_recorded_and_no_part_of_the_identity() -> None:
    spec = hub_spec("a", "b")
    written = spec.to_json()
    assert written["model"]["name"] == "org/name@main" and written["model"]["commit"] == "a" * 40
    assert written["tasks"][TASK.name]["hub"] == {
        "asked": "owner/data@main",
        "commit": "b" * 40,
        "config": "en",
        "split": "dev",
    }
    assert RunSpec.from_json(json.loads(json.dumps(written))) == spec
    assert spec.sha256 == SPEC.sha256 and spec.diff(SPEC) == SPEC.diff(spec) == []
    plain = SPEC.to_json()
    assert "commit" not in plain["model"] and "hub" not in plain["tasks"][TASK.name]


def test_a_spec_from_before_commits_were_recorded_keeps_its_hash() -> None:
    assert SPEC.sha256 == "6f6fa7a2f7b9825fbb60134bde139f8eab92b3ed256f5f816a7051471227dfeb"


def test_what_moved_since_an_earlier_spec() -> None:
    assert hub_spec("a", "b").moved(hub_spec("a", "b")) == hub_spec("a", "b").moved(SPEC) == []
    assert hub_spec("c", "d").moved(hub_spec("a", "b")) == [
        "org/name@main was commit aaaaaaaaaaaa and is cccccccccccc now",
        "owner/data@main was commit bbbbbbbbbbbb and is dddddddddddd now",
    ]
    assert replace(hub_spec("c", "b"), model="org/name@v2").moved(hub_spec("a", "b")) == []
    assert hub_spec("c", "d").recorded_by(hub_spec("a", "b")) == hub_spec("a", "b")


@settings(max_examples=examples(60))
@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=3),
    st.floats(0.0, 2.0),
    st.integers(1, 3),
    st.sampled_from([None, 28, 3584]),
    st.text(max_size=8),
    st.integers(0, 5),
)
def test_a_key_is_the_hash_of_everything_that_determines_a_reply(
    texts: list[str], temperature: float, repeats: int, pixels: int | None, name: str, seed: int
) -> None:
    image = ImagePart(EncodedImage(b"", "cd" * 32))
    video = VideoPart((image.image,), fps=2.0)
    messages = tuple(Message("user", (image, video, TextPart(text))) for text in texts)
    sample = replace(TASK.samples[0], messages=messages)
    task: Any = SimpleNamespace(name=TASK.name, samples=(sample,))
    sampling = Sampling(temperature=temperature)
    spec = replace(
        SPEC,
        tasks={TASK.name: TaskSpec.of(TASK, sampling)},
        fingerprint=name,
        engine=name,
        repeats=repeats,
        max_pixels=pixels,
        seed=seed,
    )
    sent = [request.seed for request in spec.requests(task.samples)]
    for repeat in range(repeats):
        told = {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"image": "cd" * 32},
                        {"video": ["cd" * 32], "fps": 2.0},
                        {"text": text},
                    ],
                }
                for text in texts
            ],
            "sampling": [sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens],
            "seed": sent[repeat] if temperature > 0 else None,
            "pixels": [SPEC.min_pixels, pixels],
            "weights": name,
            "engine": [name, SPEC.engine_version],
        }
        assert spec.keys(task)[sample.id, repeat] == sha256_json(told)
        assert messages_json(messages) == canonical_json(told["messages"])


def test_no_seed_is_derived_for_the_key_of_a_greedy_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl4rl_bench.run.spec.seed_of", None)
    assert len(SPEC.keys(TASK)) == len(TASK.samples)


def test_a_text_is_redacted_by_the_secrets_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the name is open-sesame"
    assert redact(text) == text
    monkeypatch.setenv("MY_TOKEN", "open-sesame")
    assert redact(text) == redact([text])[0] == "the name is [redacted]"
    assert redact(text * 20) == "the name is [redacted]" * 20
    monkeypatch.delenv("MY_TOKEN")
    assert redact(text) == text
