"""Lines laid out: none is lost, each is found where it is."""

import re
from itertools import product

from rich.cells import cell_len

from diffbev_tui.log.view import LogView, folded, of_level, pattern_of
from diffbev_tui.log_tail import LogTail


def _tail(tmp_path, text):
    (tmp_path / "a.log").write_text(text)
    tail = LogTail(tmp_path / "a.log")
    tail.look()
    return tail


def test_a_folded_line_is_whole_and_fits():
    for line, width in product(["", "x" * 9, "x" * 30, "训练" * 9, "a训" * 7], [1, 2, 10, 80]):
        rows = folded(line, width)
        assert "".join(rows) == line
        assert rows
        assert width == 1 or all(cell_len(row) <= width for row in rows), (line, width)


def test_a_line_is_folded_at_a_space_where_that_costs_little():
    assert folded("lr 1.594e-04 eta 05:48:11", 20) == ["lr 1.594e-04 eta ", "05:48:11"]
    assert folded(f"a {'b' * 30}", 20) == [f"a {'b' * 18}", "b" * 12]


def test_rows_and_lines_know_each_other(tmp_path):
    view = LogView(_tail(tmp_path, f"{'a' * 25}\n\nshort\n{'b' * 12}\n"), 10)
    assert [list(view.rows_of(line)) for line in range(4)] == [[0, 1, 2], [3], [4], [5, 6]]
    assert [view.line_at(row) for row in range(7)] == [0, 0, 0, 1, 2, 3, 3]
    assert view.find(re.compile("short")) == [2]


def test_new_lines_are_appended_and_only_those_of_the_level(tmp_path):
    tail = _tail(tmp_path, "12:00 I one\n12:00 E two\n")
    view = LogView(tail, 80, level="errors")
    with tail.path.open("a") as file:
        file.write("12:01 I three\n12:01 E four\n")
    tail.look()
    assert view.advance() == (1, ["12:01 E four"])
    assert view.advance() == (0, [])
    assert view.lines == ["12:00 E two", "12:01 E four"]


def test_levels_include_what_is_louder():
    lines = ("12:00 I a", "12:00 W b", "12:00 E c", "Traceback (most recent call last):")
    assert [sum(of_level(line, level) for line in lines) for level in ("all", "warnings", "errors")] == [
        4,
        3,
        2,
    ]


def test_what_is_no_regular_expression_is_searched_as_it_is():
    assert pattern_of("loss (").search("a loss (raw)")
    assert pattern_of("loss.*raw").search("a loss (raw)")
    assert pattern_of("") is None
