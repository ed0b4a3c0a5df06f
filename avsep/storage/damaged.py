"""Files of others that are taken apart here: what is wrong with one becomes one clear error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from avsep.errors import AvsepError, InputError
from avsep.safe_text import one_line

LONGEST = 200
"""Characters of what a library says."""


@contextmanager
def refused(what: str, advice: str, kind: type[AvsepError] = InputError) -> Iterator[None]:
    """A block that takes a file apart: whatever it raises becomes `kind`, "{what}: {reason}. {advice}".

    Libraries fail in every way on damaged files (IndexError, TypeError, tokenize.TokenError, zlib.error, ...), so that
    no list of kinds would be whole. The block is to do nothing else. Errors of avsep pass as they are.
    """
    try:
        yield
    except AvsepError:
        raise
    except Exception as error:
        raise kind(f"{what}: {one_line(error):.{LONGEST}}. {advice}") from error
