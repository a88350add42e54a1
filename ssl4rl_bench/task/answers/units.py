"""Units of numbers: their names, the words that may follow a count, and factors of percent and of large numbers.

A unit is never converted: "50 mm" and "5 cm" are different answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

FACTORS: Mapping[str, Fraction] = {
    "%": Fraction(1, 100),
    "thousand": Fraction(10**3),
    "million": Fraction(10**6),
    "billion": Fraction(10**9),
    "trillion": Fraction(10**12),
}
"""Units that also scale a number: "45%" is 0.45 too."""

PREFIXES: Mapping[str, str] = {"$": "$", "us$": "$", "€": "€", "£": "£", "¥": "¥", "₹": "₹"}
"""Signs of currencies, which may come before a number."""

_LENGTHS: Mapping[str, str] = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre",
    "dm": "decimeter decimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
}
_OTHERS: Mapping[str, str] = {
    "": "unit units|square units|sq units|units^2|unit^2|cubic units|units^3|square unit|cubic unit",
    "%": "percent|per cent|pct|percentage|percents",
    "°": "degree|degrees|deg|degs|度",
    "°C": "degrees celsius|degree celsius|celsius|degrees c|° c",
    "°F": "degrees fahrenheit|degree fahrenheit|fahrenheit|degrees f|° f",
    "rad": "radian|radians",
    "mg": "milligram|milligrams",
    "g": "gram|grams|gramme|grammes",
    "kg": "kilogram|kilograms|kgs|kilo|kilos",
    "t": "ton|tons|tonne|tonnes",
    "lb": "lbs|pounds of weight",
    "oz": "ounce|ounces",
    "ml": "mL|milliliter|milliliters|millilitre|millilitres",
    "L": "l|liter|liters|litre|litres",
    "ms": "millisecond|milliseconds",
    "s": "sec|secs|second|seconds",
    "min": "mins|minute|minutes",
    "h": "hr|hrs|hour|hours",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years|yr|yrs|years old|year old|years of age|岁",
    "m/s": "meters per second|metres per second|m/sec",
    "km/h": "kilometers per hour|kilometres per hour|kph|kmh|km/hr",
    "mph": "miles per hour|mi/h",
    "m/s^2": "meters per second squared|metres per second squared",
    "N": "newton|newtons",
    "J": "joule|joules",
    "W": "watt|watts",
    "kW": "kilowatt|kilowatts",
    "V": "volt|volts",
    "A": "amp|amps|ampere|amperes",
    "Ω": "ohm|ohms",
    "Hz": "hertz",
    "Pa": "pascal|pascals",
    "kPa": "kilopascal|kilopascals",
    "$": "usd|dollar|dollars|us dollars|us$",
    "¢": "cent|cents",
    "€": "eur|euro|euros",
    "£": "gbp|pound|pounds|pounds sterling",
    "¥": "yen|yuan|rmb|cny|jpy|元",
    "₹": "rupee|rupees|inr",
    **{scale: f"{scale}s" for scale in FACTORS if scale != "%"},
}


def _lengths() -> Iterator[tuple[str, str]]:
    """Yields the aliases of lengths, areas and volumes, each with its unit."""
    for unit, words in _LENGTHS.items():
        names = [unit, *words.split(), *(f"{word}s" for word in words.split() if unit not in ("in", "ft"))]
        for name in names:
            yield name, unit
            for power, adjectives, participle in (
                ("2", ("square", "sq", "sq."), "squared"),
                ("3", ("cubic", "cu", "cu."), "cubed"),
            ):
                yield f"{name}^{power}", f"{unit}^{power}"
                yield f"{name} {participle}", f"{unit}^{power}"
                for adjective in adjectives:
                    yield f"{adjective} {name}", f"{unit}^{power}"
        for power in "23":
            yield f"{unit}{power}", f"{unit}^{power}"


_ALIASES: Mapping[str, str] = {
    **dict(_lengths()),
    **{alias: unit for unit, names in _OTHERS.items() for alias in (unit, *names.split("|")) if alias},
    "unit": "",
    "units": "",
}
_POWER = re.compile(r"\s?\^\s?[({]?\s?([23])\s?[)}]?")
_NO_NOUNS = (
    "or and of out to times plus minus less more than per is was are were as this its his always perhaps yes no not "
    "tens hundreds thousands millions billions trillions dozens scores halves thirds quarters fourths fifths sixths "
    "sevenths eighths ninths tenths hundredths thousandths pairs from by over under versus vs but if unless on maybe "
    "possibly between either hundred thousand million billion trillion dozen half third quarter"
)
_STOP_WORDS = frozenset(_NO_NOUNS.split())
"""Words that change a number or begin another one, so that what follows the number is not what is counted."""
_IRREGULAR = frozenset(
    ("people", "men", "women", "children", "fish", "sheep", "deer", "feet", "teeth", "mice", "geese")
)
_WORDS = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)?(?: [A-Za-z]+(?:-[A-Za-z]+)?){0,3}")


def known_unit(text: str) -> str | None:
    """Returns the canonical name of a unit ("cm^2" for "square centimeters", "" for "units"), or None.

    The case of units of one letter matters: "5 M" is not 5 metres.
    """
    text = _POWER.sub(r"^\1", " ".join(text.split())).strip()
    unit = _ALIASES.get(text)
    return _ALIASES.get(text.lower()) if unit is None and len(text) > 1 else unit


def counted(text: str) -> bool:
    """Checks whether a text names things that are counted, such as "dogs" or "small red cubes"."""
    if not _WORDS.fullmatch(text):
        return False
    words = text.lower().split()
    plural = words[-1].endswith("s") and len(words[-1]) > 3
    return (plural or words[-1] in _IRREGULAR) and _STOP_WORDS.isdisjoint(words)
