"""``python -m tests.faults``: injects real faults into real trainings and prints what became of them."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

from tests.faults.injections import with_own_mounts

if __name__ == "__main__":
    with_own_mounts()
    from tests.faults.command import main

    main()
