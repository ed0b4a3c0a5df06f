"""Text of strangers made fit for a terminal: names of files, what a weights file says of itself, and errors of
libraries.

A terminal obeys the control characters that it is sent: they move the cursor, rename the window, or write the clipboard
(OSC 52). Others turn the direction of writing, so that a name reads as another one.
"""

from __future__ import annotations

import re

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_OTHER_LINES_AND_DIRECTIONS = "\u2028-\u202e\u2066-\u2069"
_HALF_CHARACTERS = "\ud800-\udfff"
"""Bytes of a file name that are no UTF-8, as Python holds them."""

_UNSAFE = re.compile(f"[{_CONTROLS}{_OTHER_LINES_AND_DIRECTIONS}{_HALF_CHARACTERS}]")
_UNSAFE_IN_A_LINE = re.compile(f"[\t\n{_CONTROLS}{_OTHER_LINES_AND_DIRECTIONS}{_HALF_CHARACTERS}]")


def safe_text(text: str) -> str:
    """The text with every character that a terminal would obey as \\uXXXX, which JSON reads as that character; lines
    and tabs stay."""
    return _UNSAFE.sub(_escaped, text)


def safe_line(text: str) -> str:
    """The same in one line: its own line breaks and tabs are escaped, too."""
    return _UNSAFE_IN_A_LINE.sub(_escaped, text)


def safe_lines(lines: list[str]) -> str:
    """Lines under each other, each made safe for itself."""
    return "\n".join(map(safe_line, lines))


def one_line(error: object) -> str:
    """All that an error says, in one line without its full stop; its kind where it says nothing."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def first_line(error: object) -> str:
    """The first line of what an error says; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _escaped(found: re.Match[str]) -> str:
    return {"\n": "\\n", "\t": "\\t"}.get(found[0], f"\\u{ord(found[0]):04x}")
