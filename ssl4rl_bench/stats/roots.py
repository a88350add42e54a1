"""Finds roots of functions of one number, without `scipy.optimize`, whose import takes as long as a table of runs."""

from __future__ import annotations

import math
from collections.abc import Callable

_RTOL = 4.0 * math.ulp(1.0)
_STEPS = 100


def brentq(function: Callable[[float], float], low: float, high: float, *, xtol: float) -> float:
    """Finds a root between two points at which the function has different signs.

    Brent's method with inverse quadratic interpolation (Algorithms for Minimization Without Derivatives, 1973,
    chapter 4). The steps are those of `scipy.optimize.brentq`, so the results are equal to the last bit.

    Args:
        xtol: absolute tolerance of the root.

    Raises:
        ValueError: the function has the same sign at both points, or is NaN there.
        ArithmeticError: no convergence within 100 steps.
    """
    previous, current, other = low, high, 0.0
    f_previous, f_current, f_other = function(low), function(high), 0.0
    if f_previous == 0.0:
        return previous
    if f_current == 0.0:
        return current
    if math.isnan(f_previous + f_current) or _same_sign(f_previous, f_current):
        raise ValueError("the function must have different signs at the two points")
    last_step = step = 0.0
    for _ in range(_STEPS):
        if f_previous != 0.0 and f_current != 0.0 and not _same_sign(f_previous, f_current):
            other, f_other = previous, f_previous
            last_step = step = current - previous
        if abs(f_other) < abs(f_current):
            previous, current, other = current, other, current
            f_previous, f_current, f_other = f_current, f_other, f_current
        tolerance = (xtol + _RTOL * abs(current)) / 2.0
        half = (other - current) / 2.0
        if f_current == 0.0 or abs(half) < tolerance:
            return current
        trial = math.inf
        if abs(last_step) > tolerance and abs(f_current) < abs(f_previous):
            if previous == other:
                trial = -f_current * (current - previous) / (f_current - f_previous)
            else:
                slope = (f_previous - f_current) / (previous - current)
                other_slope = (f_other - f_current) / (other - current)
                trial = (
                    -f_current
                    * (f_other * other_slope - f_previous * slope)
                    / (other_slope * slope * (f_other - f_previous))
                )
        if 2.0 * abs(trial) < min(abs(last_step), 3.0 * abs(half) - tolerance):
            last_step, step = step, trial
        else:
            last_step = step = half
        previous, f_previous = current, f_current
        current += step if abs(step) > tolerance else math.copysign(tolerance, half)
        f_current = function(current)
    raise ArithmeticError(f"no root within {_STEPS} steps")


def _same_sign(one: float, two: float) -> bool:
    return math.copysign(1.0, one) == math.copysign(1.0, two)
