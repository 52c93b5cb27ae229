"""What terminals say of themselves, and what is made of it; a pty answers as they do."""

import os
import select
import subprocess
import sys
import termios

import pytest

from diffbev_tui.terminal_graphics import OWN_VARIABLES, graphics_of
from tests.processes import PATIENCE_S

KITTY = b"\x1bP>|kitty(0.41.1)\x1b\\\x1b[?62;c"
OLD_KITTY = b"\x1bP>|kitty(0.26.5)\x1b\\\x1b[?62;c"
GHOSTTY = b"\x1bP>|ghostty 1.1.3\x1b\\\x1b[?62;22c"
WEZTERM = b"\x1bP>|WezTerm 20240203-110809\x1b\\\x1b[?65;4;6;18;22c"
FOOT = b"\x1bP>|foot(1.13.1)\x1b\\\x1b[?62;4;22c"
XTERM = b"\x1bP>|XTerm(379)\x1b\\\x1b[?64;1;2;6;9;15;16;17;18;21;22;28c"
VT340 = b"\x1b[?63;1;2;3;4;6;9;15;16;22c"

ASK = """
import os
from diffbev_tui.terminal_graphics import terminal_graphics
print("found", terminal_graphics(os.environ))
"""


@pytest.mark.parametrize(
    ("answer", "graphics"),
    [
        (KITTY, "kitty"),
        (OLD_KITTY, "blocks"),  # without Unicode placeholders
        (GHOSTTY, "kitty"),
        (WEZTERM, "sixel"),
        (FOOT, "sixel"),
        (XTERM, "blocks"),
        (VT340, "sixel"),
        (b"", "blocks"),
        (b"\x1bP>|kitty(next)\x1b\\\x1b[?4c", "blocks"),  # 4 as a class of terminals is no sixel
    ],
)
def test_the_best_that_a_terminal_can_is_chosen(answer, graphics):
    assert graphics_of(answer) == graphics


def _in_a_pty(variables, answer=b""):
    """What a terminal that gives ``answer`` is shown, and whether it was asked."""
    master, slave = os.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in (*OWN_VARIABLES, "TMUX")}
    process = subprocess.Popen(
        [sys.executable, "-c", ASK], stdin=slave, stdout=slave, env={**inherited, **variables}
    )
    shown, asked = b"", False
    while not shown.endswith(b"\n"):
        assert select.select([master], [], [], 60)[0]
        shown += os.read(master, 1024)
        if b"\x1b[c" in shown and not asked:
            asked = True
            for byte in answer:  # as over a slow line
                os.write(master, bytes([byte]))
    assert process.wait(PATIENCE_S) == 0
    echo = termios.tcgetattr(slave)[3] & termios.ECHO
    os.close(slave)
    os.close(master)
    assert echo, "the terminal is left as it was"
    assert KITTY not in shown, "and showed nothing of what it answered"
    return shown.split()[-1].decode(), asked


@pytest.mark.parametrize(
    ("variables", "answer", "graphics"),
    [
        ({"TERM": "xterm-kitty"}, KITTY, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, XTERM, "blocks"),  # xterm started from kitty
        ({"TERM": "xterm-ghostty"}, b"", "blocks"),  # one that says nothing
    ],
)
def test_a_terminal_that_is_known_to_answer_is_asked(variables, answer, graphics):
    assert _in_a_pty(variables, answer) == (graphics, True)


@pytest.mark.parametrize(
    "variables",
    [
        {"TERM": "xterm-256color"},
        {"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"},
        {"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"},
    ],
)
def test_no_other_is(variables):
    assert _in_a_pty(variables) == ("blocks", False)
