"""Resolves repositories of the Hugging Face hub to commits and downloads their files into the local cache.

Used by `weights` for checkpoints and by `tables.hub` for data sets. Only files that match the requested
patterns are downloaded, and no code of a repository is run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ssl4rl_bench.core.errors import BenchError, DataError, MissingDependency, ModelError
from ssl4rl_bench.engines.reach import unreachable

PATTERNS: tuple[str, ...] = ("*.safetensors", "*.json", "*.txt", "*.jinja")
"""The files of a model that are downloaded. Nothing else of its repository is ever fetched."""
TIMEOUT_S = 30.0
"""The time limit for listing a repository on the hub, in seconds."""

_COMMIT = re.compile("[0-9a-f]{40}")
_SHORT_COMMIT = re.compile("[0-9a-f]{7,39}")


def snapshot(repo: str, revision: str | None = None) -> tuple[Path, str]:
    """Downloads a model repository, unless it is cached, and returns its local folder and its 40-hex commit.

    Without a network (or with HF_HUB_OFFLINE set) the local cache is used if it holds every file. HF_TOKEN
    gives access to private and gated repositories; HF_HOME sets the location of the cache.

    Raises:
        ModelError: if there is no such repository or revision, access is denied, it has no safetensors, it is
            neither reachable nor complete in the cache, or the cache cannot be written.
        MissingDependency: if huggingface_hub is not installed.
    """
    repository = Repository("model", repo, revision)
    listing = repository.listing()
    if not any(name.endswith(".safetensors") for name in listing.sizes):
        raise ModelError(f"hub model {repository} has no safetensors weights, the only kind that is loaded")
    folder = repository.download(listing, PATTERNS)
    return folder, folder.name


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at one commit."""

    commit: str
    sizes: Mapping[str, int | None]
    """Maps each path to the file's size in bytes, or None if the size is unknown."""
    offline: str | None = None
    """Why the local cache was used instead of the hub; None if the hub answered."""


def _of_http(*names: str) -> tuple[type[Exception], ...]:
    """Returns error classes of the HTTP library in use: httpx, or httpx2 since huggingface_hub 2."""
    loaded = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return tuple(getattr(module, name) for module in loaded for name in names)


@dataclass(frozen=True, slots=True)
class Repository:
    """A model or data set on the hub at a revision: a branch, a tag, or a commit in full or abbreviated."""

    kind: Literal["model", "dataset"]
    repo: str
    revision: str | None = None
    """The branch, tag or commit; None for the default branch."""

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo

    def listing(self) -> Listing:
        """Returns the revision's commit and its files, from the local cache if the hub is unreachable.

        Raises:
            ModelError, DataError: depending on `kind`, for the reasons given in `snapshot`.
            MissingDependency: if huggingface_hub is not installed.
        """
        try:
            import huggingface_hub
            from huggingface_hub import constants
            from huggingface_hub.utils import validate_repo_id
        except ImportError:
            extra = "hf" if self.kind == "model" else "hub"
            raise MissingDependency.of(f"{self._noun} {self.repo} needs huggingface_hub", extra) from None
        if constants.HF_HUB_OFFLINE:
            return self._cached("HF_HUB_OFFLINE is set")
        try:
            with self._telling():
                validate_repo_id(self.repo)
                if (problem := unreachable(constants.ENDPOINT)) is not None:
                    raise _NoAnswer(f"the hub does not answer ({problem})")
                info = huggingface_hub.HfApi().repo_info(
                    self.repo, repo_type=self.kind, revision=self.revision, timeout=TIMEOUT_S
                )
        except _NoAnswer as error:
            return self._cached(str(error))
        return Listing(str(info.sha), {file.rfilename: None for file in info.siblings or ()})

    def download(self, listing: Listing, patterns: Sequence[str]) -> Path:
        """Downloads every file of the listing that matches a pattern.

        Returns:
            The local folder, which is named after the commit.

        Raises:
            ModelError, DataError: depending on `kind`, if the download failed or the cache is incomplete.
        """
        import huggingface_hub
        from huggingface_hub.errors import LocalEntryNotFoundError

        options = {"repo_type": self.kind, "allow_patterns": list(patterns)}
        if listing.offline is not None:
            try:
                folder = huggingface_hub.snapshot_download(
                    self.repo, revision=listing.commit, local_files_only=True, **options
                )
            except LocalEntryNotFoundError:
                raise self._incomplete(listing.offline) from None
            self._check_sizes(Path(folder), listing, patterns)
            return Path(folder)
        try:
            with self._telling():
                # By name and not by commit, so that the cache records which commit the name refers to.
                folder = huggingface_hub.snapshot_download(self.repo, revision=self.revision, **options)
        except _NoAnswer as problem:
            raise self._error(
                f"{self._noun} {self} could not be downloaded completely, since {problem}; the same command resumes "
                "the download"
            ) from None
        return Path(folder)

    @property
    def _noun(self) -> str:
        return "hub model" if self.kind == "model" else "hub data set"

    def _error(self, sentence: str) -> BenchError:
        return ModelError(sentence) if self.kind == "model" else DataError(sentence)

    def _incomplete(self, why: str) -> BenchError:
        return self._error(
            f"{self._noun} {self} is only partly in the local cache, and {why}: run once with the network to "
            "complete it"
        )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Converts the client's exceptions to this project's, or to `_NoAnswer` for transient failures."""
        from huggingface_hub import errors

        url = f"https://huggingface.co/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"
        failures: tuple[type[Exception], ...] = (OSError, *_of_http("HTTPError"))
        try:
            yield
        except errors.GatedRepoError:
            raise self._error(
                f"{self._noun} {self.repo} is gated: accept its terms at {url} and set HF_TOKEN"
            ) from None
        except errors.RevisionNotFoundError:
            short = self.revision is not None and _SHORT_COMMIT.fullmatch(self.revision)
            more = "; name a commit by all of its 40 digits" if short else ""
            raise self._error(f"{self._noun} {self.repo} has no revision {self.revision!r}{more}") from None
        except errors.RepositoryNotFoundError:
            what = "model" if self.kind == "model" else "data set"
            raise self._error(
                f"no {what} {self.repo!r}: no such folder, and no such repository on the hub (or it is private: set "
                "HF_TOKEN)"
            ) from None
        except errors.HFValidationError:
            raise self._error(
                f"{str(self)!r} is not a hub id, which has the form org/name or org/name@revision"
            ) from None
        except failures as problem:
            # The client wraps the hub's error if it then did not find the file in the cache.
            answer = next(
                (error for error in (problem, problem.__cause__) if isinstance(error, errors.HfHubHTTPError)),
                None,
            )
            if answer is not None:
                status = answer.response.status_code
                if status not in (401, 403):
                    raise _NoAnswer(f"the hub answers HTTP {status}") from None
                raise self._error(
                    f"the hub refuses {self._noun} {self} to this HF_TOKEN (HTTP {status}): set one with read access"
                ) from None
            if isinstance(problem, OSError) and problem.errno and not isinstance(problem, ConnectionError):
                raise self._error(
                    f"{self._noun} {self} could not be stored: {problem.strerror}; free space or set HF_HOME "
                    "elsewhere"
                ) from None
            silent = isinstance(problem, (ConnectionError, *_of_http("ConnectError", "TimeoutException")))
            what = "the hub does not answer" if silent else "its response ended early"
            raise _NoAnswer(f"{what} ({_reason(problem)})") from None

    def _cached(self, why: str) -> Listing:
        """Returns the cached listing of the commit that the revision referred to when it was downloaded."""
        import huggingface_hub
        from huggingface_hub import constants
        from huggingface_hub.errors import CachedRepoTreeNotFoundError
        from huggingface_hub.file_download import repo_folder_name

        place = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=self.repo, repo_type=self.kind))
        snapshots = sorted(path.name for path in place.glob("snapshots/*") if _COMMIT.fullmatch(path.name))
        commit = self._cached_commit(place, snapshots)
        if commit not in snapshots:
            what = "model" if self.kind == "model" else "data set"
            held = f" (it holds {self.repo}@{snapshots[0]})" if snapshots else ""
            raise self._error(
                f"no {what} {str(self)!r}: there is no such folder, {why}, and it is not in the local "
                f"cache{held}"
            )
        try:
            tree = huggingface_hub.get_cached_repo_tree(self.repo, repo_type=self.kind, revision=commit)
        except CachedRepoTreeNotFoundError:  # another program downloaded single files
            if self.kind == "dataset":
                raise self._incomplete(why) from None
            folder = place / "snapshots" / commit
            files = [path for path in folder.rglob("*") if path.is_file()]
            return Listing(commit, {path.relative_to(folder).as_posix(): None for path in files}, why)
        return Listing(commit, {file.path: file.size for file in tree}, why)

    def _cached_commit(self, place: Path, snapshots: Sequence[str]) -> str:
        """Returns the commit that the revision refers to in the cache; empty if that is unknown."""
        revision = self.revision or "main"
        if _COMMIT.fullmatch(revision):
            return revision
        reference = place / "refs" / revision
        if reference.is_relative_to(place) and ".." not in reference.parts and reference.is_file():
            return reference.read_text("utf-8", "replace").strip()
        if _SHORT_COMMIT.fullmatch(revision):
            begun = [commit for commit in snapshots if commit.startswith(revision)]
            return begun[0] if len(begun) == 1 else ""
        return ""

    def _check_sizes(self, folder: Path, listing: Listing, patterns: Sequence[str]) -> None:
        from huggingface_hub.utils import filter_repo_objects

        for name in filter_repo_objects(listing.sizes, allow_patterns=list(patterns)):
            size = listing.sizes[name]
            if size is not None and (folder / name).stat().st_size != size:
                raise self._incomplete(f"{name} has another size on the hub")


class _NoAnswer(Exception):
    """The hub could not be reached. The message is a clause, to be embedded in a sentence."""


def _reason(problem: Exception) -> str:
    text = (str(problem).strip().splitlines() or [""])[0].rstrip(".")[:200]
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__
