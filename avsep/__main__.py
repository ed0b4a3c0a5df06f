"""`python -m avsep` is the same as `avsep`."""

import sys

from avsep.cli.main import main

if __name__ == "__main__":
    code = main()
    # Where Ctrl-C came while a library ran a string (as dataclasses do), Python with -m would end by the signal
    # in place of this code, although it was caught. Running another string makes it forget that.
    exec("")  # noqa: S102
    sys.exit(code)
