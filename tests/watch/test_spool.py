"""Spool files: what is written is read, and a file that is read while it grows gives no half line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.watch.spool import SpoolLine, parse_spool

folders = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() != ""
)
entries = st.lists(st.tuples(st.integers(0, 10**15 - 1), folders), max_size=6)
other_lines = st.sampled_from([b"", b"   ", b"# a comment", b"#7\tx"])


@given(entries, st.lists(other_lines, max_size=3), st.sampled_from([b"\n", b"\r\n"]))
def test_what_was_written_is_read(written: list[tuple[int, str]], others: list[bytes], ending: bytes) -> None:
    lines = [*others, *(f"{step}\t{folder}".encode() for step, folder in written), *others]
    read, bad = parse_spool(b"".join(line + ending for line in lines))
    assert [(line.step, line.folder) for line in read] == list(dict.fromkeys(written)) and not bad
    assert [line.number for line in read] == sorted(line.number for line in read)


@given(entries, st.data())
def test_a_file_that_grows_gives_no_half_line(written: list[tuple[int, str]], data: st.DataObject) -> None:
    content = "".join(f"{step}\t{folder}\n" for step, folder in written).encode()
    cut = content[: data.draw(st.integers(0, len(content)))]
    read, bad = parse_spool(cut)
    assert not bad and read == parse_spool(content)[0][: len(read)]
    assert len(read) == len(set(written[: cut.count(b"\n")]))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_named(content: bytes) -> None:
    read, bad = parse_spool(content)
    lines = content.split(b"\n")[:-1]
    assert all(1 <= number <= len(lines) for number in bad)
    assert all(line.step >= 0 and "\0" not in line.folder and line.folder.strip() for line in read)
    assert not bad.keys() & {line.number for line in read}


def test_lines_that_cannot_be_read_are_numbered() -> None:
    content = b"50\ta\n50 a\n\xff\tb\n-1\tc\n5\t\n5\t \n5\ta\0b\n1e3\td\n\xd9\xa1\te\n60\tb c\tquite\n"
    read, bad = parse_spool(content)
    assert read == [SpoolLine(1, 50, "a"), SpoolLine(10, 60, "b c\tquite")]
    assert sorted(bad) == [2, 3, 4, 5, 6, 7, 8, 9] and bad[3] == "it is not UTF-8"
