"""Text that has to fit: how wide a line is, where it breaks and what is left out."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ELLIPSIS = "…"
_NARROW, _WIDE, _FULL = 0.58, 0.72, 1.0
"""Widths of a character in ems, upper bounds over common sans-serif fonts: small letters, capitals
and digits, and East Asian characters."""


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text.

    Attributes:
        text: printable characters only.
        x: where it is anchored, mm from the page's left.
        y: its baseline, mm from the page's top.
        size: of the font (its em), mm.
        anchor: which end of the line stands at `x`.
        bold: whether it is emphasised.
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
    """Return an upper estimate of a line's width in the unit of `size`, whatever the font."""
    return size * sum(map(_ems, text))


def fitted(text: str, size: float, width: float) -> str:
    """Return `text`, cut and ended with an ellipsis where it is wider than `width`."""
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
    """Lay parts out in at most `most` lines: each on its own lines if they fit, else run together.

    Args:
        parts: sentences, each printable.
        size: of the font, mm.
        width: of a line, mm.
        most: number of lines there is room for.

    Returns:
        The lines; the last one ends with an ellipsis where something is left out.
    """
    kept = [part for part in parts if part]
    lines = [line for part in kept for line in wrapped(part, size, width)]
    if len(lines) > most:
        lines = wrapped("; ".join(kept), size, width)
    if len(lines) > most:
        lines[most - 1 :] = [_cut(lines[most - 1], size, width)]
    return lines


def _cut(line: str, size: float, width: float) -> str:
    """Return the words of a line that leave room for an ellipsis, and the ellipsis."""
    words = line.removesuffix(ELLIPSIS).split()
    while len(words) > 1 and width_of(" ".join([*words, ELLIPSIS]), size) > width:
        words.pop()
    return fitted(" ".join([*words, ELLIPSIS]), size, width)


def _ems(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return _FULL
    return _WIDE if character.isupper() or character.isdigit() else _NARROW
