"""The process that meets the cases; started by ``tests.fuzz.watch``."""

import sys
from pathlib import Path

from tests.fuzz.readers import reader_named
from tests.fuzz.watch import work

if __name__ == "__main__":
    name, folder, cases, seconds, seed, done = sys.argv[1:]
    work(reader_named(name), Path(folder), int(cases), float(seconds), int(seed), int(done))
