"""Slow patterns are tried only where they can match, and find the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.task.extract import leads, scan, statements
from ssl4rl_bench.task.extract.option_texts import _LAST_LETTER, _LETTER_LAST, LONGEST

WORDS = re.findall(r"[A-Za-z']+|[→⇒➔➡]|[-=]>|[一-鿿]+", f"{leads.CORRECTED}{leads.INSTEAD}{leads.CONCLUDED}")
UNITS = [
    *dict.fromkeys(WORDS),
    *(
        "i mean",
        "i meant",
        "no, wait",
        "oh wait",
        "i take that back",
        "i apologise",
        "apologies",
        "i was wrong",
    ),
    *(
        "on second thoughts",
        "scratch that",
        "make that",
        "i am sure that",
        "i'm certain",
        "i’d say",
        "in short",
    ),
    *(
        "it is not the cat but",
        "isn't A, rather",
        "不是A而是",
        "tl;dr",
        "bottom line",
        "to sum up",
        "my guess",
        "Nope",
    ),
    *(
        "it's",
        "that is",
        "It must be",
        "none other than",
        "all except",
        "I think",
        "definitely",
        "所以是",
        "改为",
        "我说错了",
    ),
    *(
        "A",
        "B.",
        " C",
        "(d)",
        "**A**",
        "Ａ",
        "red",
        ",",
        ".",
        "!",
        "?",
        ":",
        "\n",
        " ",
        "  ",
        "\t",
        "-",
        "—",
        "…",
        "_",
        "#",
    ),
    *("ſo", "ſorry", "actualLy", "waıt", "İ", "\u212a", "thinK", "ı think", "mıstake", "ﬁ", "\u3000", "\x85"),
]
TEXTS = st.lists(
    st.tuples(st.sampled_from(UNITS), st.sampled_from(("", " ", ". ", "\n", ", "))), max_size=12
).map(lambda parts: "".join(f"{unit}{after}" for unit, after in parts))


def spans(matches: object) -> list[tuple[int, int]]:
    return [match.span() for match in matches]  # type: ignore[attr-defined]


def plain(text: str) -> str:
    low = text.lower()
    return scan.plain(low if len(low) == len(text) else text.replace("İ", "I").lower())


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_leads_are_found_where_finditer_finds_them(text: str) -> None:
    corrected, concluded = scan.correcting_starts(plain(text)), list(scan.concluding_starts(plain(text)))
    starts = list(corrected)
    for pattern in (
        statements._CORRECTED,
        statements._TEXT_CORRECTED,
        re.compile(leads.CORRECTED, re.IGNORECASE),
    ):
        assert spans(scan.last_matches(pattern, text, starts, 1000)) == spans(pattern.finditer(text))
    for pattern in (statements._CONCLUDED, re.compile(leads.CONCLUDED, re.IGNORECASE)):
        assert spans(scan.last_matches(pattern, text, concluded, 1000)) == spans(pattern.finditer(text))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_texts_without_the_words_of_a_pattern_have_no_match(text: str) -> None:
    if not scan.has_instead(plain(text)):
        assert not re.search(leads.INSTEAD, text, re.IGNORECASE)
    for words, searched, pattern in (
        (statements._IT_IS, plain(text), statements._IT_IS_IT),
        (statements._ZH_WORDS, text, statements._ZH_IS),
        (statements._EXCEPT, text, statements._ONLY_ONE),
        (statements._I_THINK, plain(text), statements._BEFORE_THINK),
    ):
        if not scan.contains(searched, words):
            assert not pattern.search(text)
    if not _LAST_LETTER.search(text, max(0, len(text) - 17)):
        assert not _LETTER_LAST.search(text, max(0, len(text) - LONGEST))


@pytest.mark.parametrize("count", [1, 2, 24])
def test_the_last_matches_are_returned(count: int) -> None:
    text = "So A. " * 30
    matches = scan.last_matches(statements._CONCLUDED, text, scan.concluding_starts(plain(text)), count)
    assert spans(matches) == spans(statements._CONCLUDED.finditer(text))[-count:]
