r"""Text in LaTeX: what each character becomes, and that pdflatex can typeset it."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.text.tex import code_comments, tex, tex_name, tex_number


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("Cross-Inst. 50% & more", r"Cross-Inst. 50\% \& more"),
        ("a_b#c~d^e", r"a\_b\#c\textasciitilde{}d\textasciicircum{}e"),
        (r"\input{x}$", r"\textbackslash{}input\{x\}$\mathdollar$"),
        ("Café Ångström naïve Łódź ß", r"Caf\'{e} \r{A}ngstr\"{o}m na\"{\i}ve \L{}\'{o}d\'{z} \ss{}"),
        ("Cafe\u0301", r"Caf\'{e}"),
        ("ạ ḥ ị", r"\d{a} \d{h} \d{i}"),
        ("▲ ▼ → ×", r"$\bigtriangleup$ $\bigtriangledown$ $\rightarrow$ $\times$"),
        ("α λ Ω", r"$\alpha$ $\lambda$ $\Omega$"),
        ("a--b", "a-{}-b"),
        ("你好 x", r"\texttt{[U+4F60 U+597D]} x"),
        ("Модель", r"\texttt{[U+041C U+043E U+0434 U+0435 U+043B U+044C]}"),
        ("a🚀b", r"a\texttt{[U+1F680]}b"),
        ("ế", r"\texttt{[U+1EBF]}"),
        ("ą", r"\texttt{[U+0105]}"),
    ],
)
def test_characters_are_commands_of_the_kernel_or_their_code(text: str, latex: str) -> None:
    assert tex(text) == latex


def test_numbers_have_a_minus() -> None:
    assert tex_number("[-1.00, +2.50]") == "[$-$1.00, +2.50]"
    assert tex_number("–") == "--"
    assert tex_number("<0.001") == "$<$0.001"


def test_names_break_after_separators_and_in_long_parts() -> None:
    assert tex_name("org/a_b-c.d", 10) == r"org/\allowbreak{}a\_\allowbreak{}b-\allowbreak{}c.\allowbreak{}d"
    assert tex_name("abcdefgh", 3) == r"abc\allowbreak{}def\allowbreak{}gh"
    assert tex_name("plain", 5) == "plain"
    assert tex_name("Maximal improvement", 13) == "Maximal improvement"


def test_comments_name_each_code_once() -> None:
    assert code_comments([tex("你好"), tex("你")]) == [
        '% U+4F60: CJK UNIFIED IDEOGRAPH-4F60; XeLaTeX and LuaLaTeX: \\symbol{"4F60}',
        '% U+597D: CJK UNIFIED IDEOGRAPH-597D; XeLaTeX and LuaLaTeX: \\symbol{"597D}',
    ]
    assert code_comments([tex("plain é")]) == []


WORD = re.compile(r"\\(?:[a-zA-Z]+(?:\{\})?|[^a-zA-Z])")


@given(st.text())
def test_any_text_is_ascii_without_active_characters_and_balanced(text: str) -> None:
    latex = tex(clean(text, 200))
    assert latex.isascii() and latex.isprintable()
    plain = WORD.sub("", latex)
    assert not re.search(r"[\\%#&_^]", re.sub(r"\$\^\{\}\$", "", plain))
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "Z"])))
def test_letters_digits_and_blanks_are_unchanged(text: str) -> None:
    assert tex(text) == text


@given(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp"]))
def test_a_character_with_a_code_can_be_read_back(character: str) -> None:
    latex = tex(character)
    if match := re.fullmatch(r"\\texttt\{\[U\+([0-9A-F]+)\]\}", latex):
        assert unicodedata.normalize("NFC", character) == chr(int(match[1], 16))
