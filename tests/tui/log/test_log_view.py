"""Lines laid out: none is lost, each is found where it is."""

from itertools import product

from rich.cells import cell_len

from diffbev_tui.log.view import LogView, folded
from diffbev_tui.log.wanted import Wanted, of_level, pattern_of


def test_a_folded_line_is_whole_and_fits():
    for line, width in product(["", "x" * 9, "x" * 30, "训练" * 9, "a训" * 7], [1, 2, 10, 80]):
        rows = folded(line, width)
        assert "".join(rows) == line
        assert rows
        assert width == 1 or all(cell_len(row) <= width for row in rows), (line, width)


def test_a_line_is_folded_at_a_space_where_that_costs_little():
    assert folded("lr 1.594e-04 eta 05:48:11", 20) == ["lr 1.594e-04 eta ", "05:48:11"]
    assert folded(f"a {'b' * 30}", 20) == [f"a {'b' * 18}", "b" * 12]


def test_rows_lines_and_bytes_of_the_file_know_each_other():
    view = LogView([(0, "a" * 25), (26, ""), (27, "short")], 10)
    rows = view.append([(33, "b" * 12)])
    assert rows == ["b" * 10, "bb"]
    assert [list(view.rows_of(line)) for line in range(4)] == [[0, 1, 2], [3], [4], [5, 6]]
    assert [view.line_at(row) for row in range(7)] == [0, 0, 0, 1, 2, 3, 3]
    assert [view.line_with(offset) for offset in (-1, 0, 1, 27, 33, 99)] == [None, 0, 0, 2, 3, None]
    assert [view.line_near(offset) for offset in (-1, 0, 1, 27, 33, 99)] == [0, 0, 0, 2, 3, 3]


def test_levels_include_what_is_louder():
    lines = ("12:00 I a", "12:00 W b", "12:00 E c", "Traceback (most recent call last):")
    assert [sum(of_level(line, level) for line in lines) for level in ("all", "warnings", "errors")] == [
        4,
        3,
        2,
    ]


def test_a_text_is_found_as_it_is_in_upper_and_lower_case():
    assert pattern_of("loss (").search("a LOSS (raw)")
    assert not pattern_of("loss.*raw").search("a loss (raw)")
    assert pattern_of("é").search("É")
    assert pattern_of("") is None
    assert Wanted("errors", ("gpu", "Memory")).fits("12:00 E GPU out of memory")
    assert not Wanted("errors", ("gpu",)).fits("12:00 I GPU")
    assert not Wanted()
