"""Downloading the file of a benchmark from a real server on loopback: digests, resuming, and every failure."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import bench

from ssl4rl_bench.core.errors import BenchError, DataError, StoreError, UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.datasets.fetching import Fetched, fetch, fetchable
from ssl4rl_bench.engines import download as downloading
from ssl4rl_bench.engines import fetch as opening
from ssl4rl_bench.engines.download import download

CONTENT = bytes(range(256)) * 4096
MD5 = hashlib.md5(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves `CONTENT`; its fields say how badly."""

    daemon_threads = True
    content = CONTENT
    ranges = True
    etag: str | None = '"v1"'
    length = True
    status = 200
    stop_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    stall_after: int | None = None
    location: str | None = None
    encoding: str | None = None
    wrong_range = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        """The range of each request, empty for the whole file."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/MMX.tsv"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up."""


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range") or ""
        server.asked.append(wanted)
        match = re.fullmatch("bytes=([0-9]+)-", wanted)
        same = self.headers.get("If-Range") in (None, server.etag)
        start = int(match[1]) if match and server.ranges and same else 0
        total = len(server.content)
        if server.location:
            self._head(302, {"Location": server.location, "Content-Length": "0"})
        elif server.status != 200:
            self._head(server.status, {"Content-Length": "0"})
        elif start >= total > 0:
            self._head(416, {"Content-Range": f"bytes */{total}", "Content-Length": "0"})
        else:
            headers = {"Content-Length": str(total - start)} if server.length else {}
            headers |= {"ETag": server.etag} if server.etag else {}
            headers |= {"Content-Encoding": server.encoding} if server.encoding else {}
            if start:
                shown = start + 1 if server.wrong_range else start
                headers["Content-Range"] = f"bytes {shown}-{total - 1}/{total}"
            self._head(206 if start else 200, headers)
            self._body(server.content[start:])

    def _body(self, data: bytes) -> None:
        server = self.server
        stop = server.stop_after if server.stop_after is not None else server.stall_after
        self.wfile.write(data[:stop])
        if server.stall_after is not None:
            time.sleep(2)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with FileServer() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSL4RL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def task(tmp_path: Path, server: FileServer, **source: Any) -> str:
    """Writes a task file whose source is the server's file, and returns its path."""
    values = {"file": "MMX.tsv", "url": server.url, "md5": MD5, **source}
    stated = {key: value for key, value in values.items() if value is not None}
    metadata = {"version": 1, "title": "MMX", "source": stated}
    config = {"include": "_mmbench.yaml", "task": "ssl4rl_mmx", "dataset_path": "a/b", "test_split": "dev"}
    path = tmp_path / "mmx.yaml"
    path.write_text(yaml.safe_dump({**config, "metadata": metadata}))
    return str(path)


def test_a_file_is_downloaded_once(tmp_path: Path, folder: Path, server: FileServer) -> None:
    name = task(tmp_path, server)
    seen: list[tuple[int, int | None]] = []
    first = fetch(name, on_progress=lambda *counts: seen.append(counts))
    assert first == Fetched("ssl4rl_mmx", folder / "MMX.tsv", len(CONTENT), MD5, len(CONTENT))
    assert first.path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in folder.iterdir()] == ["MMX.tsv"]
    again = fetch(name)
    assert (again.n_received, again.md5, server.asked) == (0, MD5, [""])


def test_the_task_reads_the_downloaded_file(tmp_path: Path, folder: Path, server: FileServer) -> None:
    from ssl4rl_bench.task.registry import load_task

    server.content = b"index\tquestion\n"
    name = task(tmp_path, server, md5=None)
    fetched = fetch(name)
    assert fetched.warnings == (f"MMX.tsv has the MD5 {fetched.md5}, and none is known to compare it with",)
    with pytest.raises(DataError, match=re.escape(str(folder / "MMX.tsv"))):
        load_task(name)  # an empty table, which names the file that was read


def test_a_task_whose_file_is_missing_names_the_command(folder: Path) -> None:
    from ssl4rl_bench.task.registry import load_task

    with pytest.raises(
        DataError, match="`ssl4rl-bench fetch mmstar` downloads it, or give the path of a copy"
    ):
        load_task("mmstar")


def interrupted(server: FileServer, part: Path, n: int = 300_000) -> None:
    """Downloads the first n bytes."""
    part.parent.mkdir(parents=True, exist_ok=True)
    server.stop_after = n
    with pytest.raises(DataError, match=rf"MMX.tsv ended after {n} of {len(CONTENT)} bytes$"):
        download(server.url, part, resume_unversioned=True)
    server.stop_after = None
    server.asked.clear()


@pytest.mark.parametrize("etag", ['"v1"', "W/weak", None])
def test_a_partial_download_continues(
    etag: str | None, tmp_path: Path, folder: Path, server: FileServer
) -> None:
    server.etag = etag
    interrupted(server, folder / "MMX.tsv.part")
    done = fetch(task(tmp_path, server))
    assert (done.n_received, done.path.read_bytes()) == (len(CONTENT) - 300_000, CONTENT)
    assert server.asked == ["bytes=300000-"]


def test_a_complete_part_is_only_checked(tmp_path: Path, folder: Path, server: FileServer) -> None:
    folder.mkdir()
    download(server.url, folder / "MMX.tsv.part")
    assert fetch(task(tmp_path, server)).n_received == 0
    assert server.asked == ["", f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize(
    "change", ["no ranges", "new version", "other address", "wrong range", "longer part"]
)
def test_a_part_that_cannot_continue_starts_again(
    change: str, tmp_path: Path, folder: Path, server: FileServer
) -> None:
    part = folder / "MMX.tsv.part"
    interrupted(server, part)
    if change == "no ranges":
        server.ranges = False
    elif change == "new version":
        server.etag = '"v2"'
    elif change == "wrong range":
        server.wrong_range = True
    elif change == "longer part":
        part.write_bytes(CONTENT * 2)
    else:
        downloading.source_file(part).write_text(f"{server.url}x\n\n")
    done = fetch(task(tmp_path, server))
    assert (done.n_received, done.path.read_bytes()) == (len(CONTENT), CONTENT)


def test_without_a_version_or_md5_parts_are_not_joined(
    tmp_path: Path, folder: Path, server: FileServer
) -> None:
    server.etag = None
    interrupted(server, folder / "MMX.tsv.part")
    assert fetch(task(tmp_path, server, md5=None)).n_received == len(CONTENT)


def test_another_md5_is_refused_unless_it_is_allowed(
    tmp_path: Path, folder: Path, server: FileServer
) -> None:
    name = task(tmp_path, server, md5="0" * 32)
    problem = f"MMX.tsv has the MD5 {MD5} instead of {'0' * 32}: it is damaged, or its publisher changed it"
    for _ in range(2):
        with pytest.raises(DataError, match=re.escape(f"{problem}; delete ")):
            fetch(name)
    assert not (folder / "MMX.tsv").exists()
    done = fetch(name, allow_md5=True)
    assert done.n_received == 0
    assert done.warnings == (f"{problem}; results are comparable only with results on the same file",)
    with pytest.raises(DataError, match=re.escape(problem)):
        fetch(name)
    assert fetch(name, allow_md5=True).warnings == done.warnings


def test_a_known_edition_is_named(tmp_path: Path, folder: Path, server: FileServer) -> None:
    name = task(tmp_path, server, md5="0" * 32, editions={MD5: "answers of 2025"})
    problem = re.escape("MMX.tsv is another edition (answers of 2025) than the task file's; delete ")
    with pytest.raises(DataError, match=problem):
        fetch(name)
    assert "answers of 2025" in fetch(name, allow_md5=True).warnings[0]
    assert (folder / "MMX.tsv").exists()


def test_damaged_joined_parts_are_deleted(tmp_path: Path, folder: Path, server: FileServer) -> None:
    part = folder / "MMX.tsv.part"
    interrupted(server, part)
    part.write_bytes(b"x" * 300_000)
    with pytest.raises(DataError, match="run the command again, or accept this file with --allow-md5"):
        fetch(task(tmp_path, server))
    assert not part.exists()
    assert fetch(task(tmp_path, server)).md5 == MD5


FAILURES: list[tuple[dict[str, Any], str]] = [
    ({"status": 404}, "cannot download {url}: HTTP 404"),
    ({"status": 500}, "cannot download {url}: HTTP 500"),
    (
        {"stop_after": 1000},
        "{url} ended after 1000 of 1048576 bytes; the same command continues after the 1000 bytes",
    ),
    ({"location": "http://127.0.0.1:1/x"}, "{url} redirects to http://127.0.0.1:1/x, which is not https"),
    (
        {"location": "https://localhost/x"},
        "{url} redirects to https://localhost/x, which is not a public address",
    ),
    ({"encoding": "gzip"}, "cannot download {url}: the server compresses it although it must not"),
]


@pytest.mark.parametrize(("faults", "message"), FAILURES)
def test_each_failure_is_one_sentence_and_leaves_no_file(
    faults: dict[str, Any], message: str, tmp_path: Path, folder: Path, server: FileServer
) -> None:
    vars(server).update(faults)
    with pytest.raises(DataError) as caught:
        fetch(task(tmp_path, server))
    assert str(caught.value).startswith(message.format(url=server.url))
    assert "\n" not in str(caught.value)
    assert not (folder / "MMX.tsv").exists()
    assert (folder / "MMX.tsv.part").exists() == ("stop_after" in faults)


def test_a_redirect_within_https_is_followed_with_the_range(
    tmp_path: Path, folder: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name in the redirect is made to lead to a second server, without encryption."""
    interrupted(server, folder / "MMX.tsv.part")
    real = socket.getaddrinfo
    monkeypatch.setattr(opening, "_PublicConnection", http.client.HTTPConnection)
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **named: real("127.0.0.1", *rest, **named))
    with FileServer() as second:
        threading.Thread(target=second.serve_forever, args=(0.01,), daemon=True).start()
        server.location = f"https://files.example:{second.server_address[1]}/MMX.tsv"
        done = fetch(task(tmp_path, server))
        second.shutdown()
    assert (done.md5, done.n_received) == (MD5, len(CONTENT) - 300_000)
    assert server.asked == second.asked == ["bytes=300000-"]


def test_a_server_that_stalls(
    tmp_path: Path, folder: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "TIMEOUT_S", 0.2)
    server.stall_after = 5000
    with pytest.raises(
        DataError, match=r"no answer within 0.2 s; the same command continues after the 5000 bytes"
    ):
        fetch(task(tmp_path, server))
    assert (folder / "MMX.tsv.part").stat().st_size == 5000


def test_a_server_that_is_gone(tmp_path: Path, folder: Path, server: FileServer) -> None:
    with FileServer() as other:
        name = task(tmp_path, other)
    with pytest.raises(DataError, match=r"cannot fetch http://127.0.0.1:[0-9]+/MMX.tsv: .*refused"):
        fetch(name)
    assert [*folder.iterdir()] == []


def test_a_full_disk(
    tmp_path: Path, folder: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(downloading.shutil, "disk_usage", lambda _: usage._replace(free=1 << 19))
        with pytest.raises(
            StoreError, match=r"MMX.tsv.part needs 1 MiB, and its disk has 0 MiB free: free some"
        ):
            fetch(task(tmp_path, server))

    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(downloading, "write_all", full)
        with pytest.raises(StoreError, match=r"MMX.tsv.part: the disk is full; free some space"):
            fetch(task(tmp_path, server))
    assert (folder / "MMX.tsv.part").stat().st_size == 100
    assert fetch(task(tmp_path, server)).md5 == MD5
    assert server.asked[-1] == "bytes=100-"


def test_limits_and_locks(
    tmp_path: Path, folder: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    with downloading._locked(folder / "MMX.tsv.part"), pytest.raises(StoreError, match="by another process"):
        fetch(task(tmp_path, server))
    monkeypatch.setattr(downloading, "MAX_BYTES", 1000)
    for length in (True, False):
        server.length = length
        with pytest.raises(DataError, match="more than the limit of 0 GiB"):
            fetch(task(tmp_path, server))


def test_an_interrupted_command_says_how_to_go_on(
    tmp_path: Path, folder: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = task(tmp_path, server)
    append = downloading._Writer.append

    def stop(self: Any, data: bytes, total: int | None) -> None:
        append(self, data, total)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloading._Writer, "append", stop)
        done = bench("fetch", name)
    assert done.code == 130
    assert "is kept, and the same command continues" in done.err
    assert (folder / "MMX.tsv.part").stat().st_size > 0
    done = bench("fetch", name)
    assert (done.code, (folder / "MMX.tsv").read_bytes()) == (0, CONTENT)


def test_the_command(
    tmp_path: Path, folder: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # one line per file
    name = task(tmp_path, server)
    done = bench("fetch", name, "--out", str(tmp_path / "here"))
    assert done.code == 0
    path = tmp_path / "here" / "MMX.tsv"
    assert f"{path}: downloaded (1 MiB, MD5 {MD5})" in done.out
    assert f"--data mmx={path}" in done.out
    assert not folder.exists()
    assert (
        "already there, nothing was downloaded" in bench("fetch", name, "--out", str(tmp_path / "here")).out
    )
    done = bench("fetch", name, "--list")
    assert done.code == 0
    for row in fetchable():
        (line,) = (line for line in done.out.splitlines() if line.startswith(f"{short_name(row.task)} "))
        assert (row.source.md5 or "unverified") in line
    assert bench("fetch").code == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scenes", "scenes needs no download: its data is built in or made from images."),
        ("ssl_rotation_90", "ssl_rotation_90 needs no download"),
        ("nonsense", "There is no task nonsense"),
    ],
)
def test_tasks_without_an_address(name: str, message: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        fetch(name)


def test_a_task_that_is_only_on_the_hub_says_so(tmp_path: Path, folder: Path, server: FileServer) -> None:
    with pytest.raises(UsageError, match=r"`run` reads the hub data set a/b, or give a file with --data"):
        fetch(task(tmp_path, server, url=None))


def test_a_user_without_a_home(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL4RL_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def no_home() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(BenchError, match="no home folder: choose a folder with --out or SSL4RL_DATA"):
        fetch(task(tmp_path, server))
