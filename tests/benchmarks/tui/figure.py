"""A measured figure, its limit, and the table of all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number."""

    name: str
    what: str
    value: float
    unit: str
    limit: float | None = None
    """The most that it may be; ``None`` where nothing is promised."""
    note: str = ""
    """How it spreads, and what it was taken from."""
    error: float = 0.0
    """Its standard error, where that is known."""

    @property
    def met(self) -> bool | None:
        """Whether it is within its limit; ``None`` without one, or if the error is too large to tell."""
        if self.limit is None:
            return None
        if self.value + 2 * self.error <= self.limit:
            return True
        return False if self.value - 2 * self.error > self.limit else None

    def to_json(self) -> dict[str, Any]:
        """Plain values; a number that is none is left out."""
        value = self.value if math.isfinite(self.value) else None
        return {**vars(self), "value": value, "met": self.met}


def table(figures: Sequence[Figure]) -> str:
    """One line a figure: value, limit, whether it is met."""
    words = {True: "met", False: "MISSED", None: "cannot be told"}
    rows = [("figure", "value", "limit", "", "")]
    for one in figures:
        limit = "" if one.limit is None else f"<= {shown(one.limit)} {one.unit}"
        verdict = "" if one.limit is None else words[one.met]
        rows.append((one.what, f"{shown(one.value)} {one.unit}", limit, verdict, one.note))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )


def shown(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def spread(values: Sequence[float], unit: str) -> str:
    """``median 0.41, 0.39 to 0.62 s of 9``."""
    low, high = shown(min(values)), shown(max(values))
    return f"median {shown(median(values))}, {low} to {high} {unit} of {len(values)}"


def median_error(values: Sequence[float]) -> float:
    """Standard error of the median, from the median deviation, which stands wild values; NaN of one value."""
    middle = median(values)
    deviation = 1.4826 * median(abs(value - middle) for value in values)  # a standard deviation, if normal
    return math.sqrt(math.pi / 2) * deviation / math.sqrt(len(values)) if len(values) > 1 else math.nan
