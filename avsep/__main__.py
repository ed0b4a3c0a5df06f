"""`python -m avsep` is the same as `avsep`."""

import sys

from avsep.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
