"""Checkpoints that appear: in step order, and never half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from examples import examples
from fake_checkpoints import files, make
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_files import tensors

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.watch import find
from ssl4rl_bench.watch.find import Finder, Look
from ssl4rl_bench.watch.layouts import place_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that `find` sees pass."""
    now = [0.0]
    monkeypatch.setattr(find.time, "monotonic", lambda: now[0])
    return now


def names(look: Look) -> list[str]:
    return [each.name for each in look.ready]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("step-000050", (50, 0)),
        ("step-000050.2", (50, 2)),
        ("checkpoint-500", (500, 0)),
        ("global_step_100", (100, 0)),
        ("7", (7, 0)),
        ("qwen2.5-step-10", (10, 0)),
        ("best", None),
        (".saving", None),
        ("tmp-checkpoint-500", None),
        ("step-000050.tmp", None),
        ("step-000050.incomplete", None),
        ("step-000050~", None),
    ],
)
def test_a_folder_s_name_tells_its_step(name: str, place: tuple[int, int] | None) -> None:
    assert place_of(name) == place


def test_a_checkpoint_counts_after_two_looks(tmp_path: Path, clock: list[float]) -> None:
    finder = Finder(tmp_path, quiet_s=5.0)
    make(tmp_path, 100)
    assert finder.look() == Look((), ("step-000100",), {})
    clock[0] = 4.9
    assert finder.look().changing == ("step-000100",), "too soon"
    clock[0] = 5.0
    (found,) = finder.look().ready
    assert (found.name, found.step, found.fingerprint) == ("step-000100", 100, fingerprint(found.path))


def test_an_old_checkpoint_counts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, 100)
    now = find.time.time()
    monkeypatch.setattr(find.time, "time", lambda: now + find.OLD_S + 1)
    assert names(Finder(tmp_path, 5.0).look()) == ["step-000100"]


def test_steps_come_in_order_and_a_later_one_waits_for_an_earlier(tmp_path: Path, clock: list[float]) -> None:
    finder = Finder(tmp_path, 5.0)
    for step in (1000, 200):
        make(tmp_path, step)
    finder.look()
    clock[0] = 10.0
    assert names(finder.look()) == ["step-000200", "step-001000"]
    make(tmp_path, 300)
    look = finder.look()
    assert (names(look), look.changing) == (["step-000200"], ("step-000300",))


def test_the_same_place_with_other_weights_is_another_checkpoint(tmp_path: Path, clock: list[float]) -> None:
    finder = Finder(tmp_path, 5.0)
    path = make(tmp_path, 50)
    finder.look()
    clock[0] = 5.0
    (before,) = finder.look().ready
    shutil.rmtree(path)
    make(tmp_path, 50, fill=7)
    assert finder.look().changing == ("step-000050",)
    clock[0] = 10.0
    (after,) = finder.look().ready
    assert after.fingerprint != before.fingerprint


def test_a_trainer_may_remove_its_own_state(tmp_path: Path, clock: list[float]) -> None:
    finder = Finder(tmp_path, 5.0)
    path = make(tmp_path, 50)
    (path / "trainer").mkdir()
    (path / "trainer" / "optimizer.pt").write_bytes(b"x")
    finder.look()
    clock[0] = 5.0
    shutil.rmtree(path / "trainer")
    assert names(finder.look()) == ["step-000050"]


def test_what_is_broken_is_named_and_holds_up_nothing(tmp_path: Path, clock: list[float]) -> None:
    finder = Finder(tmp_path, 5.0)
    make(tmp_path, 100)
    broken = make(tmp_path, 50) / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])
    (tmp_path / "logs-2026").mkdir()
    (tmp_path / "step-000070").write_text("a file")
    finder.look()
    clock[0] = 5.0
    look = finder.look()
    assert names(look) == ["step-000100"] and list(look.broken) == ["step-000050"]
    assert "truncated" in look.broken["step-000050"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be watched"):
        Finder(tmp_path / "gone", 1.0).look()


def sharded() -> dict[str, bytes]:
    index = {"weight_map": {"a": "model-0.safetensors", "b": "model-1.safetensors"}}
    made = {f"model-{at}.safetensors": tensors(names=(name,), size=50) for at, name in enumerate("ab")}
    more = {"model.safetensors.index.json": json.dumps(index).encode(), "config.json": b"{}"}
    return made | more


@settings(deadline=None, max_examples=examples(60))
@given(
    parts=st.sampled_from([files(1), sharded()]).flatmap(
        lambda made: st.tuples(
            st.just(made), st.permutations(sorted(made)), st.lists(st.integers(1, 200), max_size=4)
        )
    ),
    temporary=st.booleans(),
)
def test_a_checkpoint_that_is_written_piece_by_piece_is_never_taken_half(
    tmp_path_factory: pytest.TempPathFactory,
    parts: tuple[dict[str, bytes], list[str], list[int]],
    temporary: bool,
) -> None:
    """Files in any order, cut anywhere, a look (long after) at every stage."""
    made, order, cuts = parts
    folder = tmp_path_factory.mktemp("train")
    now = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find.time, "monotonic", lambda: now[0])
        finder = Finder(folder, 5.0)
        path = folder / "step-000010"
        path.mkdir()
        for at, name in enumerate(order):
            data = made[name]
            place = path / (f"{name}.tmp" if temporary else name)
            for cut in sorted(cut for cut in cuts if cut < len(data)):
                place.write_bytes(data[:cut])
                # A side file whose every prefix is whole cannot be told; the trainer's folder name can.
                if name.endswith("safetensors"):
                    assert not finder.look().ready
                    now[0] += 10.0
                    assert not finder.look().ready
            place.write_bytes(data)
            if at < len(order) - 1:
                look = finder.look()
                assert not look.ready, "not settled"
            if temporary:
                now[0] += 10.0
                assert not finder.look().ready
                place.rename(path / name)
        assert not finder.look().ready
        now[0] += 10.0
        (ready,) = finder.look().ready
        assert ready.fingerprint == fingerprint(path)
