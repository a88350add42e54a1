"""A small Hugging Face hub on 127.0.0.1, for tests of the real `huggingface_hub` and `datasets` clients.

    with LoopbackHub() as hub:
        commit = hub.add("model", "org/name", {"config.json": b"{}", "model.safetensors": weights})
        hub.tag("model", "org/name", "v1", commit)
        hub.faults.append(Fault(r"/resolve/.*safetensors", cut=0.5, times=1))
        subprocess.run([...], env=hub.environment(tmp_path / "home"))

The clients read HF_ENDPOINT and HF_HOME when they are imported. The code under test therefore runs in a child
process with `environment`; no client is patched. The hub answers these requests like the real one:

- `/api/models/ID`, `/api/datasets/ID`, each with `/revision/REV` and `/tree/REV`, in pages (a `Link` header);
- `/ID/resolve/REV/PATH` and `/datasets/ID/resolve/REV/PATH` (HEAD and GET) with `ETag` and `X-Repo-Commit`; a
  large file is a 302 to `/cdn/` with `X-Linked-Etag` and `X-Linked-Size`, and `/cdn/` supports `Range`;
- 401 and 403 with `X-Error-Code: GatedRepo`, 401 `RepoNotFound` without a token (as the real hub does for
  private and for missing repositories), 404 `RevisionNotFound` and `EntryNotFound`.

There are no xet headers, so that the clients download by HTTP. A revision is a branch, a tag, a commit, or
the first 7 or more digits of a commit. A `Fault` changes the answers to requests that match it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["model", "dataset"]
LARGE = 4096
"""Files of at least this many bytes are served as with LFS: through a redirect, with their SHA-256 as
ETag."""
PAGE = 3
"""Entries per page of `/tree`: a small number, so that listings have several pages."""
GATE_TOKEN = "hf_loopbackgate0000"
"""A token with access to gated and private repositories."""


@dataclass
class Fault:
    """A fault in the answers to requests whose method and path match a pattern, such as "GET .*/cdn/"."""

    pattern: str
    status: int | None = None
    """Status of the answer, instead of the correct one."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the answer with `status`."""
    cut: float | None = None
    """Share of the body after which the connection is closed."""
    resize: int = 0
    """Number of bytes by which a file's declared size exceeds its real one; the answer ends properly."""
    corrupt: bool = False
    """Whether to send different bytes, of the same number."""
    without: tuple[str, ...] = ()
    """Headers to leave out."""
    hang: bool = False
    """Whether to answer only when the hub is closed."""
    times: int | None = None
    """Number of requests with this fault; None for all."""
    n_hits: int = 0


@dataclass
class _Repo:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False

    def commit(self, revision: str) -> str | None:
        named = self.branches.get(revision) or self.tags.get(revision)
        if named or not re.fullmatch("[0-9a-f]{7,40}", revision):
            return named
        return next((commit for commit in self.commits if commit.startswith(revision)), None)


class LoopbackHub:
    """The hub, as a context manager that serves until its exit."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        """Method and path of each request, in order."""
        self._repos: dict[tuple[Kind, str], _Repo] = {}
        self._closed = threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        """The value of HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LoopbackHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, kind: Kind, repo: str, files: Mapping[str, bytes], *, branch: str = "main") -> str:
        """Adds a commit with these files and moves a branch to it; returns its 40 digits."""
        place = self._repos.setdefault((kind, repo), _Repo())
        content = sorted((name, hashlib.sha256(data).hexdigest()) for name, data in files.items())
        commit = hashlib.sha1(json.dumps([repo, content]).encode()).hexdigest()
        place.commits[commit] = dict(files)
        place.branches[branch] = commit
        return commit

    def tag(self, kind: Kind, repo: str, name: str, commit: str) -> None:
        """Adds a tag to a commit."""
        self._repos[kind, repo].tags[name] = commit

    def close_off(self, kind: Kind, repo: str, *, gated: bool = False, private: bool = False) -> None:
        """Makes a repository gated (its listing stays public) or private; `GATE_TOKEN` gives access."""
        self._repos[kind, repo].gated, self._repos[kind, repo].private = gated, private

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Returns the environment for a child process that uses this hub, with a cache in `home`."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING_FACE_"))
        }
        proxies = {key for key in kept if key.lower() in ("http_proxy", "https_proxy", "all_proxy")}
        quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {
            **{key: value for key, value in kept.items() if key not in proxies},
            **quiet,
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            **more,
        }


def dead_endpoint() -> str:
    """Returns an endpoint on which no server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class _Answer(Exception):  # not an error: helpers of the handler raise it to return early
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message} if code or message else {}


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path, request = unquote(parts.path), f"{self.command} {unquote(parts.path)}"
        self.hub.requests.append(request)
        fault = self._fault(request)
        if fault.hang:
            self.hub._closed.wait()
            self.close_connection = True
            return
        try:
            if fault.status is not None:
                raise _Answer(fault.status)
            if path.startswith("/cdn/"):
                self._cdn(path.removeprefix("/cdn/"), fault)
            elif path.startswith("/api/"):
                self._api(path.removeprefix("/api/"), parse_qs(parts.query), fault)
            else:
                self._resolve(path.lstrip("/"), fault)
        except _Answer as answer:
            body = json.dumps({"error": answer.headers.get("X-Error-Message", "")}).encode()
            self._send(answer.status, body, {**answer.headers, **fault.headers}, fault)

    def _fault(self, request: str) -> Fault:
        for fault in self.hub.faults:
            if re.search(fault.pattern, request) and (fault.times is None or fault.n_hits < fault.times):
                fault.n_hits += 1
                return fault
        return Fault("")

    def _repo(self, kind: Kind, name: str) -> _Repo:
        repo = self.hub._repos.get((kind, name))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token != GATE_TOKEN:
            raise _Answer(401, message="Invalid credentials in Authorization header")
        if repo is None or (repo.private and not token):
            raise _Answer(404 if token else 401, "RepoNotFound", "Repository not found")
        return repo

    def _commit(self, repo: _Repo, revision: str) -> str:
        commit = repo.commit(revision)
        if commit is None:
            raise _Answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _api(self, path: str, query: Mapping[str, list[str]], fault: Fault) -> None:
        match = re.fullmatch(r"(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^?]+))?", path)
        if match is None:
            raise _Answer(404, message="Sorry, we can't find the page you are looking for.")
        plural, name, what, revision = match.groups()
        kind: Kind = "model" if plural == "models" else "dataset"
        repo = self._repo(kind, name)
        commit = self._commit(repo, (revision or "main").rstrip("/"))
        files = repo.commits[commit]
        headers = {"Content-Type": "application/json"}
        if what == "tree":
            start = int(query.get("cursor", ["0"])[0])
            entries = [self._entry(file, files[file]) for file in sorted(files)]
            if start + PAGE < len(entries):
                following = f"{self.hub.endpoint}/api/{path}?recursive=true&cursor={start + PAGE}"
                headers["Link"] = f'<{following}>; rel="next"'
            value: object = entries[start : start + PAGE]
        else:
            value = {
                "_id": commit[:24],
                "id": name,
                "modelId": name,
                "sha": commit,
                "private": repo.private,
                "gated": "manual" if repo.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": file} for file in sorted(files)],
            }
        self._send(200, json.dumps(value).encode(), headers, fault)

    def _entry(self, name: str, data: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "oid": _git_oid(data), "size": len(data), "path": name}
        if len(data) >= LARGE:
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def _resolve(self, path: str, fault: Fault) -> None:
        match = re.fullmatch(r"(datasets/)?([^/]+/[^/]+)/resolve/(.+)", path)
        if match is None:
            raise _Answer(404, message="Sorry, we can't find the page you are looking for.")
        repo = self._repo("dataset" if match[1] else "model", match[2])
        if repo.gated and not self.headers.get("Authorization"):
            raise _Answer(401, "GatedRepo", f"Access to {match[2]} is restricted.")
        revision, _, file = match[3].partition("/")
        commit = self._commit(repo, revision)
        data = repo.commits[commit].get(file)
        if data is None:
            raise _Answer(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "Content-Type": "text/plain"}
        if len(data) < LARGE:
            self._send(200, data, {**headers, "ETag": f'"{_git_oid(data)}"'}, fault)
            return
        digest = hashlib.sha256(data).hexdigest()
        headers["X-Linked-Etag"] = f'"{digest}"'
        headers["X-Linked-Size"] = str(len(data) + fault.resize)
        # A different host name, like that of a real CDN: only then does the client use the metadata in this
        # answer.
        headers["Location"] = f"{self.hub.endpoint}/cdn/{digest}?signature=loopback".replace(
            "127.0.0.1", "localhost"
        )
        self._send(302, b"Found. Redirecting.", {**headers, "ETag": f'"{digest}"'}, fault)

    def _cdn(self, digest: str, fault: Fault) -> None:
        for repo in self.hub._repos.values():
            for files in repo.commits.values():
                for data in files.values():
                    if len(data) >= LARGE and hashlib.sha256(data).hexdigest() == digest:
                        self._ranged(data, digest, fault)
                        return
        raise _Answer(404)

    def _ranged(self, data: bytes, digest: str, fault: Fault) -> None:
        headers = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._send(200, data, headers, fault)
            return
        begin, end = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        headers["Content-Range"] = f"bytes {begin}-{end}/{len(data)}"
        self._send(206, data[begin : end + 1], headers, fault)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], fault: Fault) -> None:
        if fault.corrupt:
            body = bytes(byte ^ 0x55 for byte in body)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            if name not in fault.without:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.cut is not None:
            self.wfile.write(body[: int(len(body) * fault.cut)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body)


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
