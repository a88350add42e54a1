"""Models of a hub: by branch, tag and commit, again without the network, and with faults on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_hub import GATE_TOKEN, Fault, LoopbackHub, dead_endpoint

from ssl4rl_bench.engines.checkpoints.weights import resolve_model

pytest.importorskip("huggingface_hub")
from hub_child import models  # after the check that it can be used

pytestmark = pytest.mark.slow

REPO = "org/tiny"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    folder = resolve_model("tiny-base").path
    wanted = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return wanted | {"README.md": b"# Tiny", "pytorch_model.bin": b"never fetched" * 1000}


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


def names(commit: str) -> list[str]:
    return [f"{REPO}{at}" for at in ("", "@main", "@v1", f"@{commit[:8]}", f"@{commit}")]


@pytest.mark.parametrize(
    "which",
    [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 5))],
    ids=["default", "branch", "tag", "short", "commit"],
)
def test_what_was_downloaded_loads_without_a_network(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path, which: int
) -> None:
    """With HF_HUB_OFFLINE and with a dead network alike."""
    commit = hub.add("model", REPO, files)
    hub.tag("model", REPO, "v1", commit)
    name = names(commit)[which]
    (online,) = models(hub.environment(tmp_path), name)
    assert online == ([commit, resolve_model("tiny-base").fingerprint], None)
    for dead in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": dead_endpoint()}):
        assert models(hub.environment(tmp_path, **dead), name) == [online]
    assert not any(".bin" in request or "README" in request for request in hub.requests)


def test_the_cache_answers_for_what_it_holds_only(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path
) -> None:
    commit = hub.add("model", REPO, files)
    offline = hub.environment(tmp_path, HF_HUB_OFFLINE="1")
    ((_, empty),) = models(offline, REPO)
    assert "it is not in the local cache" in empty and "HF_HUB_OFFLINE is set" in empty
    models(hub.environment(tmp_path), f"{REPO}@{commit}")
    outside = tmp_path / "outside"
    outside.write_text(commit)
    by_commit, by_short, by_branch, *traversals = models(
        offline,
        *(
            f"{REPO}@{name}" if name else REPO
            for name in (commit, commit[:7], "", "../../../../outside", outside)
        ),
    )
    assert by_commit[0][0] == by_short[0][0] == commit
    assert f"it holds {REPO}@{commit}" in by_branch[1]  # what main was is not known
    assert all("it is not in the local cache" in error for _, error in traversals)


def test_a_moved_branch_is_another_commit(hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path) -> None:
    first = hub.add("model", REPO, files)
    ((before, _),) = models(hub.environment(tmp_path), REPO)
    second = hub.add("model", REPO, files | {"generation_config.json": b'{"eos_token_id": 2}'})
    after, old = models(hub.environment(tmp_path), REPO, f"{REPO}@{first}")
    assert [before[0], after[0][0], old[0][0]] == [first, second, first]
    assert before[1] == old[0][1] != after[0][1]
    assert models(hub.environment(tmp_path, HF_HUB_OFFLINE="1"), REPO) == [after]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("GET /cdn/", cut=0.5), "ended early"),
        (Fault("GET /cdn/", status=500), "HTTP 500"),
        (Fault("HEAD .*safetensors", resize=7), "ended early"),
        (Fault("HEAD .*safetensors", status=429, headers={"Retry-After": "1"}), "429"),
        (Fault("HEAD .*safetensors", status=503), "503"),
        (Fault("HEAD .*safetensors", status=404, headers={"X-Error-Code": "EntryNotFound"}), "404"),
        (Fault("HEAD .*resolve", without=("X-Repo-Commit",)), "ended early"),
        (Fault("HEAD .*resolve", without=("ETag", "X-Linked-Etag")), "ended early"),
        (Fault("/tree/", status=500), "HTTP 500"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.pattern,
)
def test_a_download_that_is_not_whole_is_refused_and_never_used(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path, fault: Fault, words: str
) -> None:
    commit = hub.add("model", REPO, files)
    hub.faults.append(fault)
    ((_, cut),) = models(hub.environment(tmp_path), REPO)
    assert cut.startswith("ModelError: hub model org/tiny could not be downloaded completely")
    assert words in cut and "\n" not in cut
    for _, offline in models(hub.environment(tmp_path, HF_HUB_OFFLINE="1"), REPO, f"{REPO}@{commit}"):
        assert "only partly in the local cache" in offline or "it is not in the local cache" in offline
    hub.faults.clear()
    ((found, _),) = models(hub.environment(tmp_path), REPO)  # the same command goes on
    assert found[0] == commit


def test_a_download_that_broke_off_once_goes_on(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path
) -> None:
    commit = hub.add("model", REPO, files)
    hub.faults.append(Fault("GET /cdn/", cut=0.5, times=1))
    ((found, error),) = models(hub.environment(tmp_path), REPO)
    assert hub.faults[0].n_hits == 1
    assert (found and found[0]) == commit, error


@pytest.mark.parametrize(
    "status", [503, *(pytest.param(n, marks=pytest.mark.slow) for n in (429, 500, 502, 504))]
)
def test_a_hub_that_is_down_leaves_the_cache(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path, status: int
) -> None:
    commit = hub.add("model", REPO, files)
    hub.faults.append(Fault("/api/", status=status))
    ((_, refused),) = models(hub.environment(tmp_path), REPO)
    assert f"the hub answers HTTP {status}" in refused
    hub.faults.clear()
    models(hub.environment(tmp_path), REPO)
    hub.faults.append(Fault("/api/", status=status))
    ((found, _),) = models(hub.environment(tmp_path), REPO)
    assert found[0] == commit


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses hub model org/tiny"), (403, "refuses hub model org/tiny")]
)
def test_a_refusal_is_told_and_the_cache_not_asked(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path, status: int, words: str
) -> None:
    hub.add("model", REPO, files)
    message = {"X-Error-Message": "Invalid credentials in Authorization header"}
    hub.faults.append(Fault("/api/", status=status, headers=message))
    ((_, refused),) = models(hub.environment(tmp_path), REPO)
    assert words in refused and "HF_TOKEN" in refused


def test_closed_repositories(hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path) -> None:
    hub.add("model", "org/gated", files)
    hub.close_off("model", "org/gated", gated=True)
    hub.add("model", "org/private", files)
    hub.close_off("model", "org/private", private=True)
    hub.add("model", "org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    hub.add("model", REPO, files)
    asked = ["org/gated", "org/private", "org/none", "org/pickled", f"{REPO}@v9", f"{REPO}@abcdef0"]
    gated, private, none, pickled, revision, short = (
        error for _, error in models(hub.environment(tmp_path), *asked)
    )
    assert "is gated: accept its terms at https://huggingface.co/org/gated and set HF_TOKEN" in gated
    assert "no such repository on the hub (or it is private: set HF_TOKEN)" in private
    assert "no such repository on the hub" in none
    assert "no safetensors" in pickled
    assert "has no revision 'v9'" in revision
    assert "name a commit by all of its 40 digits" in short
    opened = models(hub.environment(tmp_path, HF_TOKEN=GATE_TOKEN), "org/gated", "org/private")
    assert all(error is None for _, error in opened)


def test_a_file_that_was_cut_in_the_cache_is_told(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path
) -> None:
    hub.add("model", REPO, files)
    models(hub.environment(tmp_path), REPO)
    (tokenizer,) = tmp_path.glob("hub/models--org--tiny/snapshots/*/tokenizer.json")
    tokenizer.resolve().write_bytes(files["tokenizer.json"][:-100])
    ((_, error),) = models(hub.environment(tmp_path, HF_HUB_OFFLINE="1"), REPO)
    assert "tokenizer.json has another size on the hub" in error


def test_the_cache_of_another_program_serves_too(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path
) -> None:
    """A cache that was filled file by file does not say what is missing; the checkpoint's own checks do."""
    commit = hub.add("model", REPO, files)
    models(hub.environment(tmp_path), REPO)
    (listing,) = tmp_path.glob("hub/models--org--tiny/trees/*.json")
    listing.unlink()
    offline = hub.environment(tmp_path, HF_HUB_OFFLINE="1")
    ((found, _),) = models(offline, REPO)
    assert found[0] == commit
    (weights,) = tmp_path.glob("hub/models--org--tiny/snapshots/*/model.safetensors")
    weights.unlink()
    ((_, error),) = models(offline, REPO)
    assert "no safetensors" in error


def test_a_cache_that_cannot_be_written(hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path) -> None:
    hub.add("model", REPO, files)
    (tmp_path / "file").write_text("in the way")
    ((_, error),) = models(hub.environment(tmp_path / "file"), REPO)
    assert "could not be stored" in error and "HF_HOME" in error
