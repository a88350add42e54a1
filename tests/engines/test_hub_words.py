"""What a user is told for each failure of the hub's client, without a hub: its functions raise what they would raise.

`test_hub_models` downloads from a hub on loopback, each time in a process of its own.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench.core.errors import BenchError, DataError, MissingDependency, ModelError
from ssl4rl_bench.engines.hub import Listing, Repository, snapshot

hub = pytest.importorskip("huggingface_hub")
httpx = pytest.importorskip("httpx")

from huggingface_hub import constants, errors  # noqa: E402  # after the check that it is installed

COMMIT, OTHER = "a" * 40, "b" * 40


def answered(cls: type[Exception], status: int) -> Exception:
    """Returns an error of the client about a response."""
    request = httpx.Request("GET", "https://hub/api/models/me/vl")
    return cls("no", response=httpx.Response(status, request=request))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a client that may use the network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("ssl4rl_bench.engines.hub.unreachable", lambda url: None)
    return tmp_path


def test_an_unreachable_hub_is_not_asked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl4rl_bench.engines.hub.unreachable", lambda url: "no connection within 3 s")
    raising(monkeypatch, AssertionError("asked"))
    assert told(MODEL) == (
        "no model 'me/vl@main': there is no such folder, the hub does not answer (no connection within 3 s), and it "
        "is not in the local cache"
    )


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(hub.HfApi, "repo_info", fail)
    monkeypatch.setattr(hub, "snapshot_download", fail)


def told(repository: Repository) -> str:
    with pytest.raises(BenchError) as caught:
        repository.listing()
    assert type(caught.value) is (ModelError if repository.kind == "model" else DataError)
    return str(caught.value)


MODEL = Repository("model", "me/vl", "main")
REFUSED = [
    (
        answered(errors.GatedRepoError, 403),
        MODEL,
        "hub model me/vl is gated: accept its terms at https://huggingface.co/me/vl and set HF_TOKEN",
    ),
    (
        answered(errors.GatedRepoError, 403),
        Repository("dataset", "me/pictures"),
        "hub data set me/pictures is gated: accept its terms at https://huggingface.co/datasets/me/pictures and set "
        "HF_TOKEN",
    ),
    (answered(errors.RevisionNotFoundError, 404), MODEL, "hub model me/vl has no revision 'main'"),
    (
        answered(errors.RevisionNotFoundError, 404),
        Repository("model", "me/vl", "abcdef1"),
        "hub model me/vl has no revision 'abcdef1'; name a commit by all of its 40 digits",
    ),
    (
        answered(errors.RepositoryNotFoundError, 404),
        MODEL,
        "no model 'me/vl': no such folder, and no such repository on the hub (or it is private: set HF_TOKEN)",
    ),
    (
        answered(errors.RepositoryNotFoundError, 404),
        Repository("dataset", "me/pictures"),
        "no data set 'me/pictures': no such folder, and no such repository on the hub (or it is private: set "
        "HF_TOKEN)",
    ),
    (
        errors.HFValidationError("no"),
        Repository("model", "a/b/c", "x"),
        "'a/b/c@x' is not a hub id, which has the form org/name or org/name@revision",
    ),
    (
        answered(errors.HfHubHTTPError, 403),
        MODEL,
        "the hub refuses hub model me/vl@main to this HF_TOKEN (HTTP 403): set one with read access",
    ),
    (
        OSError(errno.ENOSPC, "No space left on device"),
        MODEL,
        "hub model me/vl@main could not be stored: No space left on device; free space or set HF_HOME elsewhere",
    ),
]


@pytest.mark.parametrize(("error", "repository", "words"), REFUSED)
def test_a_refusal_names_the_repository_and_the_way_out(
    error: Exception, repository: Repository, words: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, error)
    assert told(repository) == words


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (answered(errors.HfHubHTTPError, 502), "the hub answers HTTP 502"),
        (
            ConnectionResetError("reset by peer."),
            "the hub does not answer (ConnectionResetError: reset by peer)",
        ),
        (httpx.ConnectError("refused\nmore"), "the hub does not answer (ConnectError: refused)"),
        (httpx.ReadTimeout(""), "the hub does not answer (ReadTimeout)"),
        (httpx.RemoteProtocolError("cut"), "its response ended early (RemoteProtocolError: cut)"),
    ],
)
def test_without_an_answer_the_cache_is_asked(
    error: Exception, why: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, error)
    lacking = f"no model 'me/vl@main': there is no such folder, {why}, and it is not in the local cache"
    assert told(MODEL) == lacking
    snapshots = cache / "models--me--vl" / "snapshots"
    (snapshots / OTHER).mkdir(parents=True)
    assert told(MODEL) == f"{lacking} (it holds me/vl@{OTHER})"
    # Another program downloaded a file: there is no listing, so the folder stands for it.
    (snapshots / OTHER / "config.json").write_text("{}")
    (snapshots.parent / "refs").mkdir()
    (snapshots.parent / "refs" / "main").write_text(f"{OTHER}\n")
    assert MODEL.listing() == Listing(OTHER, {"config.json": None}, why)


@pytest.mark.parametrize(
    ("revision", "commit"),
    [(COMMIT, COMMIT), ("aaaaaaa", COMMIT), ("ccccccc", None), ("../refs/main", None), (None, None)],
)
def test_which_commit_of_the_cache_a_revision_means(
    revision: str | None, commit: str | None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in (COMMIT, OTHER):
        (cache / "models--me--vl" / "snapshots" / name).mkdir(parents=True)
    repository = Repository("model", "me/vl", revision)
    if commit is None:
        assert "HF_HUB_OFFLINE is set, and it is not in the local cache" in told(repository)
    else:
        assert repository.listing().commit == commit


def test_a_data_set_without_a_listing_is_incomplete(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (cache / "datasets--me--pictures" / "snapshots" / COMMIT).mkdir(parents=True)
    assert told(Repository("dataset", "me/pictures", COMMIT)) == (
        f"hub data set me/pictures@{COMMIT} is only partly in the local cache, and HF_HUB_OFFLINE is set: run once "
        "with the network to complete it"
    )


def test_a_download_that_ends_early_can_be_continued(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, httpx.ReadError("cut"))
    with pytest.raises(ModelError) as caught:
        MODEL.download(Listing(COMMIT, {}), ["*"])
    assert str(caught.value) == (
        "hub model me/vl@main could not be downloaded completely, since its response ended early (ReadError: cut); "
        "the same command resumes the download"
    )


def test_a_file_of_another_size_is_no_whole_download(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "model.safetensors").write_bytes(b"half")
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(cache))
    listing = Listing(COMMIT, {"model.safetensors": 8, "README.md": 1}, "HF_HUB_OFFLINE is set")
    with pytest.raises(ModelError, match=r"and model\.safetensors has another size on the hub: run once"):
        MODEL.download(listing, ["*.safetensors"])
    assert MODEL.download(Listing(COMMIT, {"model.safetensors": 4}, "offline"), ["*"]) == cache


def test_a_repository_without_safetensors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Repository, "listing", lambda _: Listing(COMMIT, {"pytorch_model.bin": 1}))
    with pytest.raises(ModelError, match="hub model me/vl@v1 has no safetensors weights"):
        snapshot("me/vl", "v1")


@pytest.mark.parametrize(("kind", "extra"), [("model", "hf"), ("dataset", "hub")])
def test_a_missing_client_names_the_command_that_adds_it(
    kind: Any, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(
        MissingDependency, match=rf"needs huggingface_hub: .*pip install .*ssl4rl-bench\[{extra}\]"
    ):
        Repository(kind, "me/vl").listing()
