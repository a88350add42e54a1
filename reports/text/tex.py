r"""Writes text as LaTeX in ASCII that pdflatex, XeLaTeX and LuaLaTeX typeset with any font encoding.

Letters with one accent, some symbols and Greek letters become commands of the LaTeX kernel. A character that has
none, such as a Chinese one or an emoji, becomes its code in brackets, `\texttt{[U+4F60]}`; `code_comments` lists
these for the top of a file. No command needs the symbols of TS1 (textcomp), whose default font is a bitmap.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"$\mathdollar$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\`{}",
    '"': "''",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "\u00a0": "~",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "¡": "!`",
    "¿": "?`",
    "§": r"$\mathsection$",
    "©": r"\textcircled{c}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": "$-$",
    "°": r"$^{\circ}$",
    "µ": r"$\mu$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "←": r"$\leftarrow$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "▲": r"$\bigtriangleup$",
    "▼": r"$\bigtriangledown$",
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_COMMANDS |= {
    unicodedata.lookup(
        f"GREEK {'CAPITAL' if name[0].isupper() else 'SMALL'} LETTER {spelled.upper()}"
    ): rf"$\{name}$"
    for name in _GREEK.split()
    for spelled in [{"lambda": "lamda", "Lambda": "lamda"}.get(name, name)]
}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0331": "b",
}
"""The accents that OT1, the default encoding of fonts, can put on a letter."""
_BELOW = "\u0323\u0327\u0331"
"""The accents below a letter, with which "i" and "j" keep their dots."""
_CODES = re.compile(r"U\+([0-9A-F]{4,6})")
_BREAKS = re.compile(r"(?<=[ /_.-])(?=.)")


def tex(text: str) -> str:
    """Returns LaTeX that typesets a text, which must be safe to print (`neutral.clean`)."""
    out: list[str] = []
    codes: list[str] = []
    for character in unicodedata.normalize("NFC", text):
        command = _command(character)
        if command is None:
            codes.append(f"U+{ord(character):04X}")
            continue
        if codes:
            out.append(_coded(codes))
            codes = []
        is_ligature = character in "-'," and bool(out) and out[-1].endswith(character)
        out.append(f"{{}}{command}" if is_ligature else command)
    return "".join([*out, *([_coded(codes)] if codes else [])])


def tex_number(text: str) -> str:
    """Returns LaTeX of a formatted number or interval, with a minus instead of a hyphen."""
    return tex(text.replace("-", "−"))


def tex_name(text: str, longest: int) -> str:
    """Returns LaTeX of a name that may be broken after blanks, "/", "-", "_", ".", and `longest` characters."""
    parts = [
        part[start : start + longest]
        for part in _BREAKS.split(text)
        for start in range(0, len(part), longest)
    ]
    return r"\allowbreak{}".join(map(tex, parts)).replace(r" \allowbreak{}", " ")


def code_comments(latex: Iterable[str]) -> list[str]:
    """Returns a comment for each character that `tex` wrote as its code, in the order of codes."""
    numbers = {int(code, 16) for text in latex for code in _CODES.findall(text)}
    names = ((number, unicodedata.name(chr(number), "without a name")) for number in sorted(numbers))
    return [
        f'% U+{number:04X}: {name}; XeLaTeX and LuaLaTeX: \\symbol{{"{number:04X}}}' for number, name in names
    ]


def _command(character: str) -> str | None:
    """Returns the LaTeX of a character, or None if it needs its code."""
    if (known := _COMMANDS.get(character)) is not None:
        return known
    if character.isascii():
        return character if character.isprintable() else None
    parts = unicodedata.normalize("NFD", character)
    if len(parts) != 2 or parts[1] not in _ACCENTS or not parts[0].isascii():
        return None
    letter = f"\\{parts[0]}" if parts[0] in "ij" and parts[1] not in _BELOW else parts[0]
    return rf"\{_ACCENTS[parts[1]]}{{{letter}}}"


def _coded(codes: list[str]) -> str:
    return rf"\texttt{{[{' '.join(codes)}]}}"
