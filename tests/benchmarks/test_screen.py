from tests.benchmarks.tui.screen import Screen


def test_text_stands_where_it_was_put():
    screen = Screen(10, 3)
    screen.feed(b"\x1b[?1049h\x1b[2;3Hab\x1b[1;31mc\x1b[0m\r\nx")
    assert screen.rows == ["          ", "  abc     ", "x         "]


def test_pieces_may_be_cut_anywhere():
    written = "\x1b[38;2;1;2;3m\x1b[2;2H⠧é\x1b]52;c;aGk=\x07ok\x1b[1;1H运行".encode()
    whole = Screen(12, 2)
    whole.feed(written)
    assert whole.rows == ["运行        ", " ⠧éok       "]
    by_bytes = Screen(12, 2)
    for place in range(len(written)):
        by_bytes.feed(written[place : place + 1])
    assert by_bytes.rows == whole.rows


def test_what_leaves_the_screen_is_cut():
    screen = Screen(4, 2)
    screen.feed(b"\x1b[9;3Habcdef")
    assert screen.rows == ["    ", "  ab"]


def test_erasing():
    screen = Screen(4, 2)
    screen.feed(b"abcd\x1b[1;3H\x1b[K")
    assert screen.rows[0] == "ab  "
    screen.feed(b"\x1b[2J")
    assert not screen.text.strip()
