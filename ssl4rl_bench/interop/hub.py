"""Model snapshots from the Hugging Face hub, by commit: safetensors and text files only."""

from __future__ import annotations

from pathlib import Path

from ssl4rl_bench.errors import MissingDependency, ModelError

PATTERNS: tuple[str, ...] = ("*.safetensors", "*.json", "*.txt", "*.jinja")
"""What is downloaded. Nothing else of a repository is ever fetched."""


def snapshot(repo: str, revision: str | None = None) -> tuple[Path, str]:
    """The local folder of a model repository and its 40-hex commit, downloaded where it is not there yet.

    Without a network (or with HF_HUB_OFFLINE set) the local cache answers. HF_TOKEN opens private and gated
    repositories; HF_HOME says where the cache is.

    Raises:
        ModelError: when there is no such repository or revision, it is closed or holds no safetensors, it is
            neither reachable nor in the cache, or the cache cannot be written.
        MissingDependency: without huggingface_hub.
    """
    try:
        import httpx
        import huggingface_hub
        from huggingface_hub import constants, errors
    except ImportError:
        raise MissingDependency(
            f"hub model {repo} needs huggingface_hub: pip install 'ssl4rl-bench[hf]'"
        ) from None
    at = f"{repo}@{revision}" if revision else repo
    try:
        if constants.HF_HUB_OFFLINE:
            return _cached(repo, revision, "HF_HUB_OFFLINE is set")
        info = huggingface_hub.HfApi().model_info(repo, revision=revision)
        names = [file.rfilename for file in info.siblings or ()]
        if not any(name.endswith(".safetensors") for name in names):
            raise ModelError(f"hub model {at} has no safetensors weights, and no other kind is ever loaded")
        commit = str(info.sha)
        folder = huggingface_hub.snapshot_download(repo, revision=commit, allow_patterns=list(PATTERNS))
    except errors.GatedRepoError:
        raise ModelError(
            f"hub model {repo} is gated: accept its terms at https://huggingface.co/{repo} and set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"hub model {repo} has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"no model {repo!r}: no such folder, and the hub has none either (or it is private: set HF_TOKEN)"
        ) from None
    except errors.HFValidationError:
        raise ModelError(f"{at!r} is no hub id; it has the form org/name or org/name@revision") from None
    except (OSError, httpx.HTTPError) as problem:
        if isinstance(problem, OSError) and problem.errno and not isinstance(problem, ConnectionError):
            raise ModelError(
                f"hub model {at} could not be stored: {problem.strerror}; free space or set HF_HOME elsewhere"
            ) from None
        return _cached(repo, revision, f"the hub does not answer ({type(problem).__name__})")
    return Path(folder), commit


def _cached(repo: str, revision: str | None, why: str) -> tuple[Path, str]:
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(repo, revision=revision, local_files_only=True)
    except (OSError, ValueError):  # no entry, an incomplete one, or no such id
        at = f"{repo}@{revision}" if revision else repo
        raise ModelError(
            f"no model {at!r}: there is no such folder, {why}, and the local cache does not hold it"
        ) from None
    return Path(folder), Path(folder).name
