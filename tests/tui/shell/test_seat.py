import os
import subprocess
import sys

from diffbev_tui.core.seat import Seat

HOLDER = """
import sys, time
from pathlib import Path
from diffbev_tui.core.seat import Seat
seat = Seat(Path(sys.argv[1]))
print(seat.take(), flush=True)
time.sleep(60)
"""


def test_a_second_process_watches_until_the_first_is_gone(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline().strip() == "True"
        seat = Seat(tmp_path)
        assert not seat.take()
        assert f"pid {first.pid}" in seat.owner()
    finally:
        first.kill()
        first.wait()
    assert seat.take()
    assert f"pid {os.getpid()}" in seat.owner()
    seat.leave()


def test_a_folder_that_cannot_be_written_is_watched_only(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert not Seat(blocked).take()
