"""Pictures in a real terminal."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios

import pytest

DRAW = (
    "from PIL import Image; from diffbev_tui.widgets.picture import drawn; "
    "kind = type(drawn(Image.new('RGB', (8, 8)), 4, 2)); print(kind.__module__, kind.__name__)"
)


@pytest.mark.parametrize(
    ("term", "kind"),
    [
        ("xterm-256color", "widget HalfcellImage"),
        ("xterm-kitty", "widget TGPImage"),
        ("foot", "widget.sixel Image"),
    ],
)
def test_the_terminal_is_asked_nothing_as_its_answer_would_be_taken_for_keys(term, kind):
    """An answer such as ``ESC [ ? 62 c`` opened the help."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    own = ("KITTY_WINDOW_ID", "GHOSTTY_RESOURCES_DIR", "WEZTERM_PANE")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    process = subprocess.Popen(
        [sys.executable, "-c", DRAW], stdin=slave, stdout=slave, env={**environment, "TERM": term}
    )
    os.close(slave)
    assert process.wait(60) == 0
    written = b""
    while select.select([master], [], [], 0)[0]:
        try:
            written += os.read(master, 1 << 16)
        except OSError:  # the other side is closed, and all is read
            break
    os.close(master)
    assert written == f"textual_image.{kind}\r\n".encode()
