"""A file is searched from its end to its beginning: everything is found, little is held."""

import random
import tracemalloc

import pytest

from diffbev_tui.log import scan as module
from diffbev_tui.log.scan import FileScan, read_matches, read_window
from diffbev_tui.log.wanted import Wanted
from diffbev_tui.log_tail import lines_in, shown

PIECES = [
    *("loss 0.5", " E failed", "out of memory", "显存不足", "OUT OF Memory", "\tE\t", "é É", "  "),
    *(
        "\x1b[31mout\x1b[0m of memory",
        "10%\rout of memory",
        "out of memory\r done",
        "er\0ror",
        "\x1b]0;error\x07",
    ),
]
WANTED = [
    *(Wanted("errors"), Wanted("warnings"), Wanted("all", ("out of memory",)), Wanted("all", ("显存",))),
    *(
        Wanted("all", ("é",)),
        Wanted("errors", ("FAILED", "loss")),
        Wanted("all", ("  ",)),
        Wanted("all", ("%",)),
    ),
]


def _finish(scan):
    scan.step(0)
    while not scan.finished:
        scan.step(0)
    return scan


def _expected(data, wanted):
    return [
        offset
        for offset, line in lines_in(data, 0)
        if wanted.fits(shown(line))  # no line of these is cut
    ]


def _found_backwards(scan, size):
    found, at = [], scan.before(size + 1)
    while at is not None:
        found.append(at)
        at = scan.before(at)
    return found[::-1]


@pytest.mark.parametrize("seed", range(3))
def test_every_wanted_line_is_found_whatever_is_in_the_file(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 120)
    chance, path = random.Random(seed), tmp_path / "a.log"

    def lines(count):
        made = ("".join(chance.choices(PIECES, k=chance.randrange(3))) for _ in range(count))
        return "\n".join(made).encode() + chance.choice([b"", b"\n", b"\nE \xff\xfe"])

    first, second = lines(120), lines(40)
    for wanted in WANTED:
        path.write_bytes(first)
        scan = _finish(FileScan(path, wanted, keep=True))
        expected = _expected(first, wanted)
        assert _found_backwards(scan, len(first)) == expected, wanted
        path.write_bytes(first + second)
        _finish(scan)
        expected = _expected(first + second, wanted)
        assert _found_backwards(scan, scan.size) == expected, wanted
        assert scan.count == len(expected)
        assert [scan.number(at) for at in expected] == list(range(1, len(expected) + 1))
        assert [scan.after(at) for at in (-1, *expected)] == [*expected, None]
        complete = [at for at in expected if at < scan.end]
        assert [at for at, _ in scan.kept] == complete
        assert [at for at, _ in read_matches(path, scan, scan.size).lines] == complete


def test_a_line_without_an_end_is_searched_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 1000)
    (tmp_path / "a.log").write_bytes(b"first\n" + b"x" * 5000 + b" oom\nlast")
    scan = _finish(FileScan(tmp_path / "a.log", Wanted("all", ("oom",))))
    assert scan.count == 1
    assert scan.begin == 0


def test_a_large_file_is_searched_in_little_memory(tmp_path):
    path, line = tmp_path / "a.log", b"12:00:00 I iter 123/200000 loss 0.287 Lwce 0.141\n"
    with path.open("wb") as file:
        file.write(b"12:00:00 E the very first\n")
        for _ in range(20):
            file.write(line * 22_000)
            file.write(b"12:00:00 E out of memory\n")
    assert path.stat().st_size > 20 << 20
    errors, everything = (FileScan(path, wanted) for wanted in (Wanted("errors"), Wanted("all", ("loss",))))
    tracemalloc.start()
    _finish(errors)
    everything.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert errors.count == 21
    assert errors.after(-1) == 0
    assert errors.before(errors.size) == errors.size - 25
    assert peak < 10 << 20
    window = read_window(path, 10 << 20)
    assert 900 << 10 < sum(len(text) + 1 for _, text in window.lines) <= 1 << 20
    assert window.lines[0][0] < 10 << 20 < window.lines[-1][0]


def test_a_file_that_shrinks_or_goes_while_it_is_read_ends_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 100)
    path = tmp_path / "a.log"
    path.write_text("error\n" * 500)
    scan = FileScan(path, Wanted("errors")).step(0)
    path.write_text("error\n")
    assert _finish(scan).begin == 0
    scan = FileScan(path, Wanted("errors")).step(0)
    path.unlink()
    assert "No such file" in scan.step(0).error
    assert scan.finished


def test_parts_of_a_file_begin_and_end_with_whole_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SIDE", 50)
    path = tmp_path / "a.log"
    lines = [f"line {number}" for number in range(100)]
    path.write_text("\n".join(lines))
    for at in (0, 300, path.stat().st_size):
        window = read_window(path, at)
        texts = [text for _, text in window.lines]
        assert texts == lines[lines.index(texts[0]) :][: len(texts)]
        assert any(offset <= at <= offset + len(text) + 1 for offset, text in window.lines)
        assert window.at_end == (texts[-1] == "line 99")
