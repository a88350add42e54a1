"""Files that others wrote: damage is one kind of error, and costs neither time nor memory."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import bench
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import questions, write_tsv

from ssl4rl_bench.core import parsing
from ssl4rl_bench.core.parsing import gunzip, parse_json, parse_toml, parse_yaml

DEEP = 100_000
JSON = [
    *(b"[" * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP, b"[" * 100 + b"]" * 100),
    *(b"", b"nul", b"\0", b"\xff", b'"\xff"', b"NaN", b"[Infinity]", b"[1e999]", b"9" * 5000),
    *(b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "b": 1}}', b"{'a': 1}", b"[1,]", b"1 2"),
]
TOML = [
    *(
        b"a = " + b"[" * DEEP,
        b"a." * DEEP + b"a = 1",
        b"[" + b"a." * 50_000 + b"a]",
        b"a = {" + b"b." * 50_000 + b"c = 1}",
    ),
    *(
        b"a = " + b"{a = " * DEEP,
        b"a = " + b"9" * 9999,
        b"a = 1\na = 2",
        b"a = 2020-99-99",
        b"a = \xff",
        b"\0",
        b"a",
    ),
    *("a = 1".encode("utf-16"), b"#" * 300_000),
]
YAML = [
    *(
        b"[" * DEEP,
        b"- " * DEEP,
        b"? " * DEEP,
        b"{a: " * DEEP,
        b"a: " + b"9" * 9999,
        b"a: " + b"1:" * DEEP + b"1",
    ),
    *(b"a: &x [1]\nb: *x", b"&a [*a]", b"a: &a {b: 1}\nc: {<<: [*a, *a]}", b"a: 1\na: 2", b"\0", b"a: \xff"),
    *(
        b"a: !!timestamp x",
        b"a: !!bool x",
        b"a: !!int x",
        b"a: 2020-99-99",
        b"a: !!python/object:os.system x",
    ),
    *(b"{[1]: 2}", b"a: !!omap [1]", b"a: [", b"--- a\n--- b", "a: 1".encode("utf-16"), b"#" * 300_000),
]


def bomb() -> bytes:
    """Nine levels of ten aliases: a thousand million entries when they are walked."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        *((parse_json, data) for data in JSON),
        *((parse_toml, data) for data in TOML),
        *((parse_yaml, data) for data in [*YAML, bomb()]),
    ],
)
@pytest.mark.timeout(60)
def test_damage_is_a_value_error_of_one_line(parse: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        parse(data)
    assert str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500


@given(st.binary(max_size=80) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(deadline=None)
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    for parse in (parse_json, parse_toml, parse_yaml, gunzip):
        try:
            parse(data)
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("parse", "text"),
    [(parse_json, '{"a": [1, 2.5]}'), (parse_toml, "a = [1, 2.5]"), (parse_yaml, "a: [1, 2.5]")],
)
def test_a_byte_order_mark_is_no_damage(parse: Callable[[bytes], object], text: str) -> None:
    assert parse(text.encode("utf-8-sig")) == parse(text.encode()) == {"a": [1, 2.5]}


def test_a_small_file_does_not_unpack_to_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MAX_UNPACKED", 1 << 20)
    data = gzip.compress(bytes(64 << 20))
    assert gunzip(gzip.compress(b"x" * 1000) + gzip.compress(b"y")) == b"x" * 1000 + b"y"
    tracemalloc.start()
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        gunzip(data)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    for end in (1, 9, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError):
            gunzip(data[:end])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and what is made of it."""
    root = tmp_path_factory.mktemp("world")
    data = write_tsv(root / "data.tsv", questions(6))
    for mock, name in (("gold", "one"), ("constant:B", "two")):
        asked = ("run", "--tasks", "mmbench_dev_en", "--data", data, "--engine", "mock", "--mock", mock)
        assert bench(*asked, "--out", root / name).code == 0
    for name in ("base.json", "base.json.gz"):
        assert bench("gate", "--candidate", root / "one", "--save-baseline", root / name).code == 0
    (root / "gate.toml").write_text(
        'allow = ["partial"]\n[[rule]]\ntask = "mmbench_dev_en"\nkind = "no_worse_than"\nmargin = 5\n'
    )
    (root / "task.yaml").write_text("task: ssl4rl_x\n")
    (root / "recipe.toml").write_text('name = "x"\n')
    (root / "published.json").write_text('{"schema": 1, "benchmark": ["mmbench_dev_en"]}')
    return root


def gate(root: Path, baseline: str = "base.json", policy: str = "gate.toml") -> tuple[str | Path, ...]:
    return ("gate", "--baseline", root / baseline, "--candidate", root / "one", "--policy", root / policy)


def readers(root: Path) -> dict[str, tuple[tuple[str | Path, ...], ...]]:
    """A file to the commands that read it."""
    both = ("compare", root / "one", root / "two", "--allow", "partial")
    return {
        "one/spec.json": (("show", root / "one"), both, gate(root)),
        "one/result.json": (("show", root / "one", "--leaves"), both, gate(root)),
        "one/exec.json": (("score", root / "one", "--dry-run"),),
        "base.json": (gate(root),),
        "base.json.gz": (gate(root, "base.json.gz"),),
        "gate.toml": (gate(root),),
        "task.yaml": (("validate", root / "task.yaml"),),
        "recipe.toml": (("train", root / "recipe.toml", "--dry-run"),),
        "published.json": ((*both, "--published", root / "published.json"),),
    }


def damaged(good: bytes) -> Iterator[bytes]:
    yield from (b"", b"[]", b"3", b"null", b'"x"', b"{}", b"true", b"[" * DEEP, b'{"a":' * DEEP, b"- " * DEEP)
    yield from (good[: len(good) // 2], good[:20] + b"\xff\xfe" + good[20:], good[:20] + b"\0" + good[20:])
    yield from (
        b"\0" * 99,
        bytes(range(256)),
        bomb(),
        b'{"schema": ' + b"9" * 5000 + b"}",
        b'{"schema": NaN}',
    )
    if good.startswith(b"{"):
        yield good.replace(b"{", b'{"schema": 1, "schema": 1, ', 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(readers(Path())))
@pytest.mark.timeout(300)
def test_a_damaged_file_is_one_sentence_and_exit_2(world: Path, name: str) -> None:
    path = world / name
    good = path.read_bytes()
    try:
        for number, data in enumerate(damaged(good)):
            path.write_bytes(data)
            for argv in readers(world)[name]:
                done = bench(*argv)
                assert done.code == 2, (number, data[:60], argv[0], done)
                assert "Traceback" not in done.text and done.err.count("error:") >= 1
                assert done.err.strip().count("\n") == 0, done.err
    finally:
        path.write_bytes(good)


WRONG = [None, True, -1, 1.5e300, 10**25, "x", "\ud800", [], {}, [[1]], {"a": {"b": 1}}]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one/spec.json", "one/exec.json", "base.json"])
@pytest.mark.timeout(300)
def test_a_value_of_another_type_never_ends_in_a_traceback(world: Path, name: str) -> None:
    path = world / name
    good = json.loads(path.read_bytes())
    keys = list(paths(good))
    try:
        for number, keyed in enumerate(keys[:: max(1, len(keys) // 25)]):
            value = json.loads(json.dumps(good))
            at = value
            for key in keyed[:-1]:
                at = at[key]
            at[keyed[-1]] = WRONG[number % len(WRONG)]
            path.write_text(json.dumps(value))
            for argv in readers(world)[name]:
                assert bench(*argv).code in (0, 2, 3), (keyed, argv[0])
    finally:
        path.write_text(json.dumps(good))


def paths(value: object, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inside = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for key, inner in inside:
        yield (*before, key)
        yield from paths(inner, (*before, key))


def test_files_with_a_byte_order_mark_are_read(world: Path) -> None:
    for name, commands in readers(world).items():
        if name.endswith(".gz"):
            continue
        path = world / name
        good = path.read_bytes()
        try:
            before = [bench(*argv) for argv in commands]
            path.write_bytes(b"\xef\xbb\xbf" + good)
            assert [bench(*argv) for argv in commands] == before, name
        finally:
            path.write_bytes(good)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", None])
@pytest.mark.parametrize("digits", [29, 30, 31, 5000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_an_integer_of_many_digits_is_refused_in_any_encoding(
    encoding: str | None, digits: int, sign: str
) -> None:
    number = sign + "7" * digits
    text = f'{{"a": [1, {number}, -3], "b": "{"9" * 60}"}}'
    data = text if encoding is None else text.encode(encoding)
    if len(number) <= 30:
        assert parse_json(data) == {"a": [1, int(number), -3], "b": "9" * 60}
    else:
        with pytest.raises(ValueError, match=f"a number has {len(number)} digits"):
            parse_json(data)


@given(st.recursive(st.integers() | st.text() | st.booleans() | st.none(), st.lists, max_leaves=20))
def test_json_of_short_integers_is_read_back(value: object) -> None:
    longest = max(map(len, re.findall("-?[0-9]+", json.dumps(value))), default=0)
    if longest <= 30:
        assert parse_json(json.dumps(value)) == parse_json(json.dumps(value).encode()) == value
