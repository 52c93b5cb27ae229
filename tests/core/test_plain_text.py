"""Nothing that a terminal obeys gets through, everything that a person reads does."""

import json
import time

from diffbev_engine.core.plain_text import plain, plain_but_coloured, plain_json, plain_line


def test_sequences_are_removed_whole():
    for sequence in (
        "\x1b]52;c;cm0gLXJmIH4=\x07",  # clipboard
        "\x1b]0;title\x1b\\",
        "\x9d0;title\x9c",
        "\x1bP+q544e\x1b\\",
        "\x1b[31;1m",
        "\x9b2J",
        "\x1b[?1049h",
    ):
        assert plain(f"a{sequence}b") == "ab", repr(sequence)


def test_what_remains_cannot_be_obeyed():
    assert plain("a\x1b]52;c;never ended") == "a]52;c;never ended"
    assert plain("a\x07\x08\x00b\u202ec") == "abc"
    assert plain("a\tb\r\nc") == "a b  c"
    assert plain("a\nb\x1b[0m", keep="\n") == "a\nb"
    assert plain("half \ud800").encode() == b"half ?"


def test_a_progress_bar_shows_its_last_state():
    assert plain_line("\x1b[2K 1%\r 50%\r\x1b[32m100%\x1b[0m\r") == "100%"
    assert plain_line("a\tb") == "a       b"


def test_words_stay_as_they_are():
    for text in ("训练中，第 12,450 次迭代", "12.6 GiB – 54 ms · ü", "iter_200.pth"):
        assert plain(text) == text
    assert plain("x" * 50, longest=10) == "x" * 10


def test_starts_of_sequences_without_ends_take_no_time():
    begun = time.process_time()
    for start in ("\x90", "\x1b]", "\x9b0", "\x1bP\x9d"):
        plain(start * 100_000, keep="\n")
    assert time.process_time() - begun < 5  # squared, it would be minutes


def test_output_of_commands_keeps_its_colours():
    assert (
        plain_but_coloured("\x1b[31mred\x1b[0m\x1b]52;c;x\x07 \x1b[2J1%\r2%\n")
        == "\x1b[31mred\x1b[0m 1%\r2%\n"
    )


def test_json_keeps_its_values():
    value = {"name": "\x9b31m\u202e\u2028训练😀", "\x85": ["\x7f", "\ud800"]}
    text = plain_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()
