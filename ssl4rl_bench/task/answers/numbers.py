r"""Reads numbers with their units from text, and compares them with a target.

How peers compare numbers, and where this module differs:

- VLMEvalKit's MathVista (`vlmeval/dataset/utils/mathvista.py`) extracts the number with a judge model and
  compares `int(text)` or `float(text)` for equality. lmms-eval's (`tasks/mathvista/mathvista_evals.py`)
  truncates to an integer, or rounds to the question's `precision`. Here, a target with decimals is matched by
  a number that rounds to it, and an integer target only by an equal number: "3.4" is not 3.
- VLMEvalKit's MathVision (`vlmeval/dataset/utils/mathv.py`) evaluates both texts with `eval` and latex2sympy
  and accepts a difference below 1e-6. Here nothing is evaluated; fractions, roots and multiples of pi are
  compared exactly, and with a decimal by the same 1e-6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ssl4rl_bench.task.answers.expressions import expression
from ssl4rl_bench.task.answers.plain import LONGEST, plain
from ssl4rl_bench.task.answers.units import FACTORS, PREFIXES, counted, known_unit
from ssl4rl_bench.task.answers.values import Value, rational, scaled
from ssl4rl_bench.task.extract.resolve import CONFLICT

CLOSE = 1e-6
"""The difference allowed to a target that is a fraction or an irrational number."""

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_WORD_VALUES = {word: value for value, word in enumerate(_WORDS.split())}
_SUBJECT_WORD = r"(?!(?:if|when|unless|not|never|no|wrong|incorrect|false|given|other) )[a-z'-]+ "
_LEAD = re.compile(
    r"(?:(?:so|thus|hence|therefore|overall|in total|total|there (?:are|is|were)|it is|it['’]s|that is"
    r"|(?:we|i) (?:have|get|see|count)|a total of|value|answer|equal to|exactly|about|approximately|approx\.?|around"
    rf"|roughly|the (?:{_SUBJECT_WORD}){{1,10}}?(?:is|are|was|equals))(?![a-z])[\s,:]{{0,2}}){{1,5}}",
    re.IGNORECASE,
)
"""Words before a number: "the number of dogs is", "so there are about"."""
_NAME = re.compile(r"(?:angle |∠|∠ ?|△)?[A-Za-z]{1,4}(?:_?[0-9]|'|\([a-z]\))?|")
"""A name before "=", as in "x = 5" and "AB = 5"; empty for "= 5"."""
_ARITHMETIC = re.compile(r"[0-9.,()\s]+(?:[-+*/^%][0-9.,()\s]+)+")
_CURRENCY = re.compile(r"(?P<sign>[+-]?)\s?(?P<unit>(?:us)?\$|[€£¥₹])\s?(?P<rest>.+)", re.IGNORECASE)
_UNIT = re.compile(
    r"(?P<number>(?:[-0-9.,+*/^(){}\s]|(?:sqrt|frac|pi)(?![A-Za-z])|[eE][+-]?[0-9]|x\s?10\s?\^)+)(?P<unit>[^-\s0-9.,+*/^(){}].*)"
)
_TAIL = re.compile(
    r"\s(?:in (?:the|this) (?:picture|image|photo|figure|scene|diagram|chart|graph|table)|in total|in all"
    r"|altogether|left|remaining)\Z",
    re.IGNORECASE,
)
_DECIMALS = re.compile(r"[^.]*\.([0-9]+)[^.0-9]*")
_CALCULATION = re.compile(
    r"[$€£]?[0-9][0-9.,]*\s?[a-z%°$]{0,6}\s?(?:-+>?|[+*/=→÷:×<>≤≥]|\u2014|<[a-z]{1,6}\s?/?>)\s?[$€£]?[0-9]"
    r"(?!.*\b(?:answer|so|therefore|thus|hence)\b)",
    re.IGNORECASE | re.DOTALL,
)
_HEDGED = re.compile(r"[0-9]\W{1,3}(?:but|while|wait|hmm)\W{1,3}[0-9][0-9.,]*\Z", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?]\s|\n")
_SIGN_WORD = re.compile(r"(?:minus|negative) (?=[0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit."""

    value: Value
    unit: str = ""
    """The canonical name of a unit, or "" for none, for an unnamed one, and for things that are counted."""

    def __str__(self) -> str:
        return f"{self.value} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class NumberTarget:
    """The right answer, with the difference at which another number equals it."""

    text: str
    quantity: Quantity
    unit: str | None
    """The unit that the answer should have; None if any is accepted."""
    allowed: Fraction | None
    """The largest accepted difference. None: 0, or `CLOSE` if a number is a fraction or irrational."""

    def accepts(self, quantity: Quantity) -> bool:
        """Checks whether a quantity is right. A missing unit is accepted, another unit is not."""
        if self.unit is not None and quantity.unit not in ("", self.unit):
            return False
        values = [quantity.value]
        if self.unit is None and quantity.unit in FACTORS:
            values.append(scaled(quantity.value, FACTORS[quantity.unit]))
        return any(self._equals(value) for value in values)

    def parse(self, text: str) -> str | None:
        """Returns the target's text for an equal number, another number in canonical form, or None.

        It returns `CONFLICT` for a calculation that is not read, so that "10 - 5" is not read as 10.
        """
        quantity = parse_quantity(text)
        if quantity is None:
            return CONFLICT if _is_calculation(text) else None
        if self.accepts(quantity):
            return self.text
        contradicts = self.unit is not None and quantity.unit not in ("", self.unit)
        return str(quantity if contradicts else Quantity(quantity.value))

    def _equals(self, value: Value) -> bool:
        target = self.quantity.value
        one, two = value.rational, target.rational
        if one is not None and two is not None:
            allowed = Fraction(CLOSE) if self.allowed is None and two.denominator > 1 else self.allowed or 0
            return abs(one - two) <= allowed
        if self.allowed is None:
            return value.terms == target.terms or abs(value.approximate() - target.approximate()) < CLOSE
        return abs(value.approximate() - target.approximate()) <= float(self.allowed)


def number_target(
    text: str, unit: str | None = None, tolerance: float | None = None, decimals: int | None = None
) -> NumberTarget | None:
    """Returns the target that a text is, or None if the text is not one number.

    Args:
        unit: the expected unit; by default the unit in the text, if there is one.
        tolerance: the largest accepted difference. It takes precedence over `decimals`.
        decimals: the digits after the point that must agree after rounding; by default those of the text, if
            it has any. An integer has none and must be equal.
    """
    quantity = parse_quantity(text)
    if quantity is None:
        return None
    expected: str | None = quantity.unit or None
    if unit is not None and unit.strip():
        named = known_unit((plain(unit) or unit).strip())
        expected = unit.strip() if named is None else named or None
    written = _DECIMALS.fullmatch(plain(text) or "")
    exact = quantity.value.rational
    if decimals is None and written and exact is not None and "/" not in text:
        decimals = len(written[1])
    allowed = None if decimals is None else Fraction(1, 2 * 10**decimals)
    if tolerance is not None:
        allowed = Fraction(tolerance)
    return NumberTarget(text.strip(), quantity, expected, allowed)


def parse_quantity(text: str) -> Quantity | None:
    """Returns the number that a text is, with its unit, or None if the text is not as a whole one number.

    The number may follow a few words ("there are", "the total is", "about") or a name ("x = 5"), and be
    followed by a unit or by what is counted ("5 dogs in the picture"). If it is given twice ("12/4 = 3"), both
    must be equal. The words "zero" to "twenty" are read if there is nothing else.
    """
    simple = plain(text)
    if not simple:
        return None
    if (word := _WORD_VALUES.get(simple.lower())) is not None:
        return Quantity(rational(word))
    simple = _TAIL.sub("", simple)
    if lead := _LEAD.match(simple):
        simple = simple[lead.end() :]
    sides = [side.strip() for side in simple.split("=")]
    if len(sides) > 4:
        return None
    last = _single(sides[-1])
    for side in sides[:-1] if last else ():
        other = _single(side)
        if other is None and not (_NAME.fullmatch(side) or _ARITHMETIC.fullmatch(side)):
            return None
        if other is not None and last is not None:
            if not _agree(other, last):
                return None
            last = Quantity(other.value, last.unit or other.unit)
    return last


def _is_calculation(text: str) -> bool:
    """Checks whether a sentence begins with two numbers that a sign connects, and does not conclude.

    The same holds for "5 but 6" and "5. Wait, 6".
    """
    simple = plain(text) if len(text) <= LONGEST else None
    if not simple:
        return False
    if _HEDGED.search(simple):
        return True
    if _SENTENCE_END.search(text):
        return False
    lead = _LEAD.match(simple)
    rest = simple[lead.end() :] if lead else simple
    name, equals, value = rest.partition("=")
    if equals and _NAME.fullmatch(name.strip()):
        rest = value.strip()
    return _CALCULATION.match(rest) is not None


def _agree(one: Quantity, two: Quantity) -> bool:
    """Checks whether the second number is the first one, or the first one rounded to a few decimals."""
    if one.unit and two.unit and one.unit != two.unit:
        return False
    rounded = two.value.rational
    if rounded is None or one.value.terms == two.value.terms:
        return one.value.terms == two.value.terms
    digits = len(str(two.value).partition(".")[2])
    return digits > 0 and abs(one.value.approximate() - float(rounded)) <= 0.5 * 10**-digits


def _single(text: str) -> Quantity | None:
    """Returns the number that a text without "=" is, with its unit."""
    text = _SIGN_WORD.sub("-", text)
    if text[:2] in ("- ", "+ "):
        return None  # a bullet, or the rest of a calculation
    value = expression(text)
    if value is not None:
        return Quantity(value)
    if (match := _CURRENCY.fullmatch(text)) is not None:
        rest = _single(match["sign"] + match["rest"])
        if rest is None or rest.unit not in ("", *FACTORS) or rest.unit == "%":
            return None
        factor = FACTORS.get(rest.unit, Fraction(1))
        return Quantity(scaled(rest.value, factor), PREFIXES[match["unit"].lower()])
    match = _UNIT.fullmatch(text)
    if match is None or (value := expression(match["number"].strip())) is None:
        return None
    return _with_unit(value, match["unit"])


def _with_unit(value: Value, text: str) -> Quantity | None:
    unit = known_unit(text)
    if unit is not None:
        return Quantity(value, unit)
    first, _, rest = text.partition(" ")
    if first.lower() in FACTORS and rest:
        scale = FACTORS[first.lower()]
        return None if scale < 1 else _with_unit(scaled(value, scale), rest)
    return Quantity(value) if counted(text) else None
