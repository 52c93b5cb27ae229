"""Round numbers on the axes of a chart, and how they are written. Imports nothing heavy."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, isfinite, log10


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` multiples of 1, 2 or 5 times a power of ten."""
    span = high - low
    if most < 1 or not isfinite(span) or span <= 1e-12 * max(abs(low), abs(high), 1e-290):
        return []
    step = 10.0 ** floor(log10(span / most))
    while span / step > most:
        for factor in (2, 2.5, 2):
            step *= factor
            if span / step <= most:
                break
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [number * step for number in range(first, min(last, first + most) + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Values in [10**low, 10**high], as powers of ten: decades, or 1-2-5 where decades are few."""
    for per_decade in ((0.0, log10(2), log10(5)), (0.0, log10(3)), (0.0,)):
        decades = range(floor(low), ceil(high) + 1)
        ticks = [decade + part for decade in decades for part in per_decade]
        ticks = [tick for tick in ticks if low - 1e-9 <= tick <= high + 1e-9]
        if len(ticks) <= most:
            return ticks if len(ticks) > 1 else _within_a_decade(low, high, most)
    every = ceil(len(ticks) / max(most, 1))
    return ticks[::every]


def _within_a_decade(low: float, high: float, most: int) -> list[float]:
    values = linear_ticks(10**low, 10**high, most) if low > -300 and high < 300 else []
    return [log10(value) for value in values if value > 0]


def number(value: float) -> str:
    """A measured value in at most six characters or so: ``0.287``, ``1.59e-4``, ``41.4k``."""
    if value == 0:
        return "0"
    if not isfinite(value):
        return str(value)
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:.0f}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def log_label(power: float) -> str:
    """Ten to that power: ``0.05``, ``2``, ``1e-4``."""
    if abs(power) > 300:
        return f"1e{power:.0f}"
    text = f"{10**power:.3g}"
    return text if "e" not in text else number(10**power)


def axis_labels(values: Sequence[float]) -> list[str]:
    """The values with as many decimals as tell them apart."""
    if not values:
        return []
    largest = max(abs(value) for value in values)
    if largest >= 1e5 or (0 < largest < 1e-3):
        return [number(value) for value in values]
    gap = min((abs(b - a) for a, b in pairwise(values)), default=largest) or 1.0
    decimals = min(max(0, -floor(log10(gap) + 1e-9)), 8)
    if round(gap * 10**decimals) != round(gap * 10**decimals, 6):
        decimals += 1
    return [f"{value:.{decimals}f}" for value in values]
