"""Fitting text into a given width: measuring, breaking and shortening lines."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ELLIPSIS = "…"
_NARROW, _WIDE, _FULL = 0.58, 0.72, 1.0
"""Widths of a character in ems, upper bounds over common sans-serif fonts, of small letters, of
capitals and digits, and of East Asian characters."""


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text.

    Attributes:
        text: printable characters only.
        x: position of the anchor, mm from the page's left.
        y: its baseline, mm from the page's top.
        size: of the font (its em), mm.
        anchor: the end of the line that is at `x`.
        bold: whether it is bold.
    """

    text: str
    x: float
    y: float
    size: float
    anchor: Literal["start", "end"] = "start"
    bold: bool = False


def printable(text: str) -> str:
    """Return one line: runs of white space become a space, control characters are dropped."""
    spaced = " ".join(text.split())
    return "".join(character for character in spaced if character.isprintable())


def width_of(text: str, size: float) -> float:
    """Return an upper bound of a line's width, in the unit of `size`, for common fonts."""
    return size * sum(map(_ems, text))


def fitted(text: str, size: float, width: float) -> str:
    """Return `text`, or its beginning with an ellipsis if it is wider than `width`."""
    if width_of(text, size) <= width:
        return text
    room = width - width_of(ELLIPSIS, size)
    while text and width_of(text, size) > room:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


def wrapped(text: str, size: float, width: float) -> list[str]:
    """Break a text between words into lines of at most `width`; a longer word is cut."""
    lines: list[str] = []
    for word in text.split():
        together = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(together, size) <= width:
            lines[-1] = together
        else:
            lines.append(fitted(word, size, width))
    return lines


def paragraph(parts: Iterable[str], size: float, width: float, most: int) -> list[str]:
    """Break parts into at most `most` lines: each part on its own lines if they fit, else joined.

    Args:
        parts: sentences, each printable.
        size: of the font, mm.
        width: of a line, mm.
        most: number of lines there is room for.

    Returns:
        The lines; the last one ends with an ellipsis if something is left out.
    """
    kept = [part for part in parts if part]
    lines = [line for part in kept for line in wrapped(part, size, width)]
    if len(lines) > most:
        lines = wrapped("; ".join(kept), size, width)
    if len(lines) > most:
        lines[most - 1 :] = [_cut(lines[most - 1], size, width)]
    return lines


def _cut(line: str, size: float, width: float) -> str:
    """Return a line without its last words, as far as an ellipsis needs their room."""
    words = line.removesuffix(ELLIPSIS).split()
    while len(words) > 1 and width_of(" ".join([*words, ELLIPSIS]), size) > width:
        words.pop()
    return fitted(" ".join([*words, ELLIPSIS]), size, width)


def _ems(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return _FULL
    return _WIDE if character.isupper() or character.isdigit() else _NARROW
