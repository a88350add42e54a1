"""Exact numbers: sums of rational multiples of square roots and of pi. `expressions` builds them from text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

LARGEST_RADICAND = 10**6
"""Larger radicands are not simplified; their square roots are not read."""

MOST_TERMS = 4
"""The maximum number of terms of a product, which bounds the work."""

Basis = tuple[int, int]
"""A square-free radicand r and an exponent k, 0 or 1: stands for sqrt(r) * pi**k."""
RATIONAL: Basis = (1, 0)


@dataclass(frozen=True, slots=True)
class Value:
    """A number as a sum of terms: rational coefficients, none of them 0, of distinct square roots and pi."""

    terms: Mapping[Basis, Fraction]

    @property
    def rational(self) -> Fraction | None:
        """The value as a fraction, or None if it is irrational."""
        if not self.terms:
            return Fraction(0)
        return self.terms[RATIONAL] if set(self.terms) == {RATIONAL} else None

    def approximate(self) -> float:
        """Returns the value as a float; values that are read have at most 60 digits."""
        return math.fsum(
            float(factor) * math.sqrt(root) * math.pi**power for (root, power), factor in self.terms.items()
        )

    def __str__(self) -> str:
        """Returns the canonical form: "0.5", "1/3", "2*sqrt(3)", "1 + (1/2)*pi"; `expressions` reads it."""
        return " + ".join(_term(*term) for term in sorted(self.terms.items())) or "0"


def rational(number: Fraction | int) -> Value:
    """Returns a rational number as a value."""
    return Value({RATIONAL: Fraction(number)} if number else {})


PI = Value({(1, 1): Fraction(1)})


def scaled(value: Value, factor: Fraction | int) -> Value:
    """Returns the product of a value and a rational number other than 0."""
    return Value({basis: coefficient * factor for basis, coefficient in value.terms.items()})


def added(one: Value, two: Value) -> Value | None:
    """Returns the sum of two values; None if one is 0 or both have a like term, as in 5 - 6."""
    if one.terms.keys() & two.terms.keys() or not (one.terms and two.terms):
        return None
    return Value({**one.terms, **two.terms})


def multiplied(one: Value, two: Value) -> Value | None:
    """Returns the product, or None if it has a square of pi, like terms or more than `MOST_TERMS` terms."""
    if len(one.terms) * len(two.terms) > MOST_TERMS:
        return None
    product: dict[Basis, Fraction] = {}
    for (root, power), factor in one.terms.items():
        for (other_root, other_power), other in two.terms.items():
            common = math.gcd(root, other_root)
            basis = (root // common * (other_root // common), power + other_power)
            if basis[1] > 1 or basis in product:
                return None
            product[basis] = factor * other * common
    return Value(product)


def inverted(value: Value) -> Value | None:
    """Returns the inverse of a rational number or of a multiple of one square root, else None."""
    if len(value.terms) != 1:
        return None
    ((root, power), factor) = next(iter(value.terms.items()))
    return None if power else Value({(root, 0): 1 / (factor * root)})


def square_root(value: Value) -> Value | None:
    """Returns the square root of a rational number that is not negative, else None."""
    number = value.rational
    if number is None or number < 0:
        return None
    radicand = number.numerator * number.denominator
    if radicand > LARGEST_RADICAND:
        return None
    outside = 1
    for divisor in _divisors(radicand):
        outside *= divisor
        radicand //= divisor * divisor
    return Value({(radicand, 0): Fraction(outside, number.denominator)}) if radicand else rational(0)


def _divisors(radicand: int) -> Iterator[int]:
    """Yields the numbers whose squares divide a radicand, so that their removal makes it square-free."""
    divisor = 2
    while 0 < divisor * divisor <= radicand:
        if radicand % (divisor * divisor):
            divisor += 1
        else:
            radicand //= divisor * divisor
            yield divisor


def _term(basis: Basis, factor: Fraction) -> str:
    root, power = basis
    factors = [f"sqrt({root})"] * (root > 1) + ["pi"] * power
    if not factors:
        return decimal_text(factor)
    if factor != 1:
        factors.insert(0, str(factor) if factor.denominator == 1 and factor > 0 else f"({factor})")
    return "*".join(factors)


def decimal_text(number: Fraction) -> str:
    """Returns a number as a decimal without trailing zeros ("0.75"), or as a fraction if it has no end."""
    rest, digits = number.denominator, 0
    for prime in (2, 5):
        exponent = 0
        while rest % prime == 0:
            rest //= prime
            exponent += 1
        digits = max(digits, exponent)
    if rest != 1 or digits > 30:
        return f"{number.numerator}/{number.denominator}" if number.denominator > 1 else str(number)
    if not digits:
        return str(number.numerator)
    scaled_up = str(abs(number.numerator) * 10**digits // number.denominator).rjust(digits + 1, "0")
    return f"{'-' * (number < 0)}{scaled_up[:-digits]}.{scaled_up[-digits:]}"
