"""Parses a number in plain notation into an exact `Value`. It computes nothing that a reader would have to.

Read are decimals with or without thousands separators ("1,234.5"), powers ("2^10", "3*10^8", "3e8"),
fractions ("3/4", "frac{3}{4}"), mixed numbers ("1 1/2"), and products, quotients and sums with square roots
and pi ("2 sqrt(3)", "pi/4", "(1+sqrt(5))/2"). Not read are calculations with plain numbers ("3+2", "2*3"),
ranges ("5-6"), ratios ("3:4"), and the ambiguous "1/2 pi", "1 234" and "1,5".
"""

from __future__ import annotations

import re
from fractions import Fraction

from ssl4rl_bench.task.answers.values import (
    PI,
    Value,
    added,
    inverted,
    multiplied,
    rational,
    scaled,
    square_root,
)

DIGITS = 60
"""The maximum number of characters of a number in canonical form, and of a literal's digits."""
DEPTH = 6
"""The maximum depth of brackets."""

_DIGITS = f"[0-9]{{1,{DIGITS}}}"
_DECIMAL = rf"(?:[0-9]{{1,3}}(?:,[0-9]{{3}})+(?![0-9])|{_DIGITS})(?:\.{_DIGITS})?|\.{_DIGITS}"
_EXPONENT = r"\s?\^\s?(?P<{0}>[+-]?[0-9]{{1,2}}(?![0-9])|[{{(]\s?[+-]?[0-9]{{1,2}}\s?[)}}])"
_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<whole>[0-9]{1,12})(?:\s|\s?(?=frac))\s*(?:frac\s*\{\s*(?P<top>[0-9]{1,12})\s*\}\s*\{\s*(?P<bottom>[0-9]{1,12})\s*\}"
    r"|(?P<top2>[0-9]{1,12})\s?/\s?(?P<bottom2>[0-9]{1,12})(?![0-9.,]))"
    rf"|(?P<mantissa>{_DECIMAL})(?:[eE](?P<e>[+-]?[0-9]{{1,2}})(?![0-9.])"
    rf"|\s?[*x]\s?10{_EXPONENT.format('ten')})"
    rf"|(?P<base>{_DECIMAL})(?:{_EXPONENT.format('power')})?(?![0-9.,^])"
    r"|frac\s*(?P<short>[0-9]{2})(?![0-9])"
    r"|(?P<word>sqrt|frac|pi)(?![A-Za-z])"
    r"|(?P<sign>[-+*/(){}]))"
)

Token = tuple[str, Value]
"""A sign, "sqrt" or "frac" with the value 0; or "n" (a plain number), "m" (a fraction) or "pi" with its value."""


def _power(base: Fraction, exponent: str) -> Fraction | None:
    power = int(exponent.strip("{}() "))
    digits = len(str(base.numerator)) + len(str(base.denominator))
    if abs(power) * digits > 4 * DIGITS or (not base and power <= 0):
        return None
    return base**power


def _token(match: re.Match[str]) -> Token | None:
    """Returns the token of a match, or None if it is not a number that is read."""
    if match["sign"] or match["word"] in ("sqrt", "frac"):
        return (match["sign"] or match["word"]), rational(0)
    if match["word"]:
        return "pi", PI
    if match["short"]:
        top, bottom = map(int, match["short"])
        return ("m", rational(Fraction(top, bottom))) if bottom else None
    if match["whole"]:
        top, bottom = int(match["top"] or match["top2"]), int(match["bottom"] or match["bottom2"])
        return ("m", rational(int(match["whole"]) + Fraction(top, bottom))) if top < bottom else None
    number = Fraction((match["mantissa"] or match["base"]).replace(",", ""))
    if exponent := match["e"] or match["ten"]:
        scale = _power(Fraction(10), exponent)
        return None if scale is None else ("n", rational(number * scale))
    if match["power"]:
        result = _power(number, match["power"])
        return None if result is None else ("n", rational(result))
    return "n", rational(number)


def expression(text: str) -> Value | None:
    """Returns the value of a text that is as a whole a number, or None."""
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        token = _token(match) if match else None
        if match is None or token is None:
            return None
        tokens.append(token)
        position = match.end()
    value = _Parser(tokens).parsed()
    return value if value is not None and len(str(value)) <= DIGITS else None


class _Parser:
    """A recursive descent parser; each method returns None where the text is not a number that is read."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    def parsed(self) -> Value | None:
        """Parses all tokens as a sum."""
        value = self._sum()
        return value if self.position == len(self.tokens) else None

    def _peek(self) -> str:
        return self.tokens[self.position][0] if self.position < len(self.tokens) else ""

    def _take(self, *kinds: str) -> str | None:
        kind = self._peek()
        if kind not in kinds:
            return None
        self.position += 1
        return kind

    def _sum(self) -> Value | None:
        total: Value | None = None
        sign = self._take("-", "+")
        while True:
            term = self._product()
            if term is None:
                return None
            term = scaled(term, -1) if sign == "-" else term
            total = term if total is None else added(total, term)
            if total is None or (sign := self._take("-", "+")) is None:
                return total

    def _product(self) -> Value | None:
        """Parses factors, of which at most one is a plain number, and at most one divisor at the end."""
        value = rational(1)
        numbers = 0
        while True:
            start = self._peek()
            factor = self._factor()
            if factor is None:
                return None
            numbers += start not in ("sqrt", "pi") and factor.rational is not None
            product = multiplied(value, factor)
            if product is None or numbers > 1:
                return None
            value = product
            if self._take("/"):
                divisor = self._factor()
                inverse = inverted(divisor) if divisor else None
                ended = self._peek() in ("", "+", "-", ")", "}")
                return multiplied(value, inverse) if inverse and ended else None
            if self._take("*") is None and self._peek() in ("", "+", "-", ")", "}"):
                return value

    def _factor(self) -> Value | None:
        kind = self._peek()
        if kind in ("n", "m", "pi"):
            self.position += 1
            return self.tokens[self.position - 1][1]
        if kind in ("(", "{"):
            return self._group()
        if kind == "sqrt":
            self.position += 1
            inside = self._group() if self._peek() in ("(", "{") else self._factor()
            return square_root(inside) if inside else None
        if kind == "frac":
            self.position += 1
            top, bottom = self._group(), self._group()
            inverse = inverted(bottom) if bottom else None
            return multiplied(top, inverse) if top and inverse else None
        return None

    def _group(self) -> Value | None:
        opening = self._take("(", "{")
        self.depth += 1
        if opening is None or self.depth > DEPTH:
            return None
        value = self._sum()
        self.depth -= 1
        return value if self._take(")" if opening == "(" else "}") else None
