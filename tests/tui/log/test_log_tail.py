import time

from diffbev_tui.log_tail import MOST_CHARACTERS, MOST_LINES, LogTail, shown


def test_lines_come_as_they_are_completed(tmp_path):
    path = tmp_path / "train.log"
    tail = LogTail(path)
    assert not tail.look()
    path.write_text("one\ntw")
    assert tail.look()
    assert list(tail.lines) == ["one"]
    assert tail.unfinished == "tw"
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert tail.look()
    assert list(tail.held) == [(0, "one"), (4, "two"), (8, "three")]
    assert not tail.unfinished
    assert not tail.look()


def test_a_truncated_or_replaced_file_is_begun_anew(tmp_path):
    path = tmp_path / "train.log"
    path.write_text("a long first line\n")
    tail = LogTail(path)
    tail.look()
    path.write_text("short\n")
    tail.look()
    assert (list(tail.lines), tail.starts) == (["short"], 1)
    (tmp_path / "other").write_text("another file\n")
    (tmp_path / "other").rename(path)
    tail.look()
    assert (list(tail.lines), tail.starts) == (["another file"], 2)


def test_only_the_end_of_a_huge_file_is_read(tmp_path):
    path = tmp_path / "train.log"
    with path.open("wb") as file:
        file.seek(300 << 20)
        file.write(b"\nthe end\n")
    tail = LogTail(path)
    started = time.process_time()
    tail.look()
    assert tail.lines[-1] == "the end"
    assert time.process_time() - started < 5
    assert len(tail.lines) <= MOST_LINES


def test_colours_progress_bars_and_endless_lines_become_readable():
    assert shown(b"\x1b[31mred\x1b[0m") == "red"
    assert shown(b" 10%\r 50%\r100%\r") == "100%"
    assert shown(b"x" * 10_000) == "x" * MOST_CHARACTERS + " [+8000]"
    assert shown("损失 0.1\xff".encode()) == "损失 0.1ÿ"
    assert shown(b"\xff\x00ok") == "\ufffdok"
