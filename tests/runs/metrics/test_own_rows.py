"""Rows of this program are decoded at once: the table is that of reading line by line, to the last bit."""

import random
import struct

import pytest

from diffbev_engine.runs.metrics import rows as reading
from diffbev_engine.runs.metrics.dialect import COLUMNS
from diffbev_engine.runs.metrics.own_rows import own_rows
from diffbev_engine.runs.metrics.rows import RowReader
from diffbev_engine.runs.metrics.table import MetricsTable

BLANK = "," * 15
GOOD = f"50,train,train,0.5,0.25,,,1e-05{BLANK},4,30.5,"


def test_numbers_and_blank_cells():
    found = own_rows(f"{GOOD}\n100,train,train,18400,-0.0,0.1,2,3{BLANK},,30,5e-324")
    assert found.steps == [50, 100]
    assert found.values("loss") == [0.5, 18400.0]
    assert found.values("Ldepth") == [None, 0.1]
    assert found.values("lr") == [1e-05, 3.0]
    assert found.values("grad_norm") == [4.0, None]
    assert found.values("gpu_mem_mb") == [None, 5e-324]


@pytest.mark.parametrize(
    "line",
    [
        "",
        ",".join(COLUMNS),
        GOOD.replace("0.5", "nan"),
        GOOD.replace("0.5", "1e400"),
        GOOD.replace("0.5", "-0"),
        GOOD.replace("0.5", '"0.5"'),
        GOOD.replace("train,train", "eval,eval"),
        GOOD + ",",
        GOOD[:-1],
        f"{GOOD}0],[{GOOD}",
        "50" + "," * 16 + "1,2,3,4,5,train,train,6,7,8",
        f"50,1,train,train,0.25,,,1e-05{BLANK},4,30.5",
    ],
)
def test_anything_else_is_left_to_reading_line_by_line(line):
    assert own_rows(line) is None
    assert own_rows(f"{GOOD}\n{line}") is None


def _cell(chance: random.Random) -> str:
    odd = ("nan", "inf", "", "-0", "abc", "0.5 ", "1,5", '"0.5"', "null", "[1")
    return chance.choice(odd) if chance.random() < 0.01 else f"{chance.random():.6g}"


def _text(chance: random.Random) -> str:
    lines, step = [",".join(COLUMNS)], 0
    for row in range(3000):
        step += 50 if chance.random() > 0.001 else -500
        lines.append(f"{step},train,train,{','.join(_cell(chance) for _ in range(5))}{BLANK},1,2,3")
        if row % 400 == 399:
            lines.append(f"{step},eval,eval,,,,,,{','.join(['0.5'] * 15)},,,")
        if chance.random() < 0.001:
            lines.append(lines[-1][: chance.randrange(60)])
    return "\n".join(lines) + "\n"


def _state(text: str) -> list[object]:
    reader = RowReader(MetricsTable())
    reader.take(text)
    table = reader.table
    rows = [
        (name, list(series.steps), [struct.pack("d", value) for value in series.values])
        for kind in (table.training, table.evaluation)
        for name in kind.columns
        if (series := kind.series(name))
    ]
    bad = [list(table.not_finite(name)) for name in table.columns]
    return [rows, bad, table.resumes, table.garbled, table.unreadable, table.first_unreadable, table.newest]


@pytest.mark.parametrize("seed", range(3))
def test_the_table_is_that_of_reading_line_by_line(seed, monkeypatch):
    text = _text(random.Random(seed))
    at_once = _state(text)
    monkeypatch.setattr(reading, "own_rows", lambda _: None)
    assert at_once == _state(text)
