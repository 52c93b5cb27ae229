import os
import subprocess
import sys

from diffbev_tui.workspace_lock import WorkspaceLock

HOLDER = """
import sys, time
from pathlib import Path
from diffbev_tui.workspace_lock import WorkspaceLock
lock = WorkspaceLock(Path(sys.argv[1]))
print(lock.take(), flush=True)
time.sleep(60)
"""


def test_a_second_process_watches_until_the_first_is_gone(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline().strip() == "True"
        lock = WorkspaceLock(tmp_path)
        assert not lock.take()
        assert f"pid {first.pid}" in lock.owner()
    finally:
        first.kill()
        first.wait()
    assert lock.take()
    assert f"pid {os.getpid()}" in lock.owner()
    lock.leave()


def test_a_folder_that_cannot_be_written_is_watched_only(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert not WorkspaceLock(blocked).take()
