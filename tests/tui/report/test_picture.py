"""Pictures in a real terminal."""

import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import termios

import pytest
from PIL import Image

from diffbev_tui.places import settings_file
from diffbev_tui.preferences import Preferences, write_preferences
from tests.processes import PATIENCE_S

DRAW = """
import sys
from PIL import Image
from rich.console import Console
from diffbev_tui.widgets.picture import drawn

image = Image.new("RGB", (8, 8))
kind = type(drawn(image, 4, 2, sys.argv[1]))
from textual_image.renderable import SixelImage

sixels = "".join(segment.text for segment in Console().render(SixelImage(image, 4, 2)))
print(kind.__name__, sixels.partition('"1;1;')[2].partition("#")[0])
"""


@pytest.mark.parametrize(
    ("graphics", "kind"), [("blocks", "HalfcellImage"), ("kitty", "TGPImage"), ("sixel", "SixelImage")]
)
def test_to_draw_asks_the_terminal_nothing_as_its_answer_would_be_taken_for_keys(graphics, kind):
    """An answer such as ``ESC [ ? 62 c`` opened the help.  The driver knows how large a cell is."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 640, 384))
    process = subprocess.Popen([sys.executable, "-c", DRAW, graphics], stdin=slave, stdout=slave)
    os.close(slave)
    assert process.wait(PATIENCE_S) == 0
    written = b""
    while select.select([master], [], [], 0)[0]:
        try:
            written += os.read(master, 1 << 16)
        except OSError:  # the other side is closed, and all is read
            break
    os.close(master)
    assert written == f"{kind} 32;32\r\n".encode()


@pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux")
def test_what_is_below_a_sixel_picture_stays_where_it_is(workspace, terminal):
    """The rest of a picture's last line went to the line below, and the last one out of the screen."""
    picture = workspace / "runs/b/vis/sample_0000.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (400, 4000), (255, 128, 0)).save(picture)
    write_preferences(settings_file(), Preferences(language="en", graphics="sixel"))
    terminal.open(workspace, size=(100, 30))
    terminal.shows("1 Runbook")
    terminal.keys("7")
    terminal.shows("zoom in")
    terminal.keys("?")
    terminal.shows("This screen")
    terminal.keys("Escape")
    terminal.shows("zoom in")
    terminal.wait(lambda: "DiffBEV" in terminal.text().splitlines()[0])
    assert "7 Report" in terminal.text().splitlines()[1]
    assert "zoom in" in terminal.text().splitlines()[29]
