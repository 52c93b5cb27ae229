"""``python -m diffbev_engine`` is ``diffbev-engine``."""

from diffbev_engine.cli.main import main

if __name__ == "__main__":
    main()
