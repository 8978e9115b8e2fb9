"""The check of XML files: one pass with expat, before a parser builds a tree of the document."""

import binascii
import re
from collections.abc import Iterable
from typing import NamedTuple
from xml.parsers import expat

import numpy as np

from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.limits import FILE, MIB, damaged, refuse_size

MAX_XML_BYTES = 20 * MIB  # HL7 aECG of 12 leads, 600 s at 500 Hz, is 18 MB
MAX_ELEMENTS = 50_000
MAX_DEPTH = 64
MAX_ATTRIBUTES = 64
MAX_TAG_BYTES = 16 * 1024
MAX_TEXT_BYTES = 3 * MIB  # one lead as decimal digits
MAX_BASE64_BYTES = 12 * MIB  # Philips writes all leads into one element
# The library unpacks Philips' XLI sample by sample, a million in about a second.
MAX_XLI_BYTES = 2_000_000
MAX_XLI_CHUNK = 128 * 1024

_PEEKED_BYTES = 64 * 1024
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_PROLOG = re.compile(r"\s{0,99}<\?xml[^>]{0,200}\?>")
_MALFORMED = (expat.ExpatError, ValueError, LookupError)


class Document(NamedTuple):
    """A document that has passed the check.

    Attributes:
        root: name of the root element, without its prefix.
        content: the document; its encoding is the one that it declares.
    """

    root: str
    content: bytes


def is_markup(content: bytes) -> bool:
    """Tell whether the bytes start like XML, in UTF-8 or UTF-16."""
    head = content[:256]
    if head.startswith(_BYTE_ORDER_MARKS):
        head = head[2:]
    return head.lstrip(b"\xbf\x00 \t\r\n").startswith(b"<")


def names_root(content: bytes, roots: Iterable[str]) -> bool:
    """Tell, without parsing, whether one of the root elements is opened in the first 64 KiB."""
    head = content[:_PEEKED_BYTES].replace(b"\0", b"")
    return any(re.search(rb"<(?:[\w.-]{1,40}:)?" + root.encode(), head) for root in roots)


def checked(content: bytes) -> Document:
    """Check a document and return it.

    Raises:
        InvalidEcg: if it is not well-formed, declares entities, or is larger, deeper or more
            finely divided than any ECG.
    """
    refuse_size(len(content), MAX_XML_BYTES)
    try:
        return Document(_Walk().root_of(content), content)
    except _MALFORMED:
        mended = _mended(content)
    try:
        return Document(_Walk().root_of(mended), mended)
    except _MALFORMED:
        raise damaged("the XML is not well-formed") from None


def _mended(content: bytes) -> bytes:
    """Return a document that declares a wrong encoding, as some exports do, in UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return _PROLOG.sub("", text, count=1).encode()


class _Walk:
    """One pass over a document that counts its elements, levels and text, and keeps no tree."""

    def __init__(self) -> None:
        self._root = ""
        self._elements = 0
        self._depth = 0
        self._place = 0
        self._text_limit = MAX_TEXT_BYTES
        self._packed: list[str] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._entity

    def root_of(self, content: bytes) -> str:
        self._parser.Parse(content, True)
        return self._root.rpartition(":")[2]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._measure_text()
        self._root = self._root or name
        self._elements += 1
        self._depth += 1
        if (
            self._elements > MAX_ELEMENTS
            or self._depth > MAX_DEPTH
            or len(attributes) > MAX_ATTRIBUTES
            or len(name) + sum(map(len, attributes.values())) > MAX_TAG_BYTES
        ):
            raise _refusal("more or deeper elements, or longer attributes, than an ECG has")
        if attributes.get("dataencoding") == "Base64":
            self._text_limit = MAX_BASE64_BYTES
        if name.lower() == "parsedwaveforms":
            self._parser.CharacterDataHandler = self._packed.append

    def _end(self, name: str) -> None:
        self._measure_text()
        self._depth -= 1
        if name.lower() == "parsedwaveforms":
            self._parser.CharacterDataHandler = None
            self._measure_xli("".join(self._packed))
            self._packed.clear()

    def _measure_text(self) -> None:
        place = self._parser.CurrentByteIndex
        if place - self._place > self._text_limit:
            raise _refusal("more text in one element than an ECG has")
        self._place, self._text_limit = place, MAX_TEXT_BYTES

    @staticmethod
    def _measure_xli(text: str) -> None:
        try:
            size = _xli_bytes(binascii.a2b_base64(text))
        except binascii.Error:  # numbers as text; the parser reports damage
            return
        if size > MAX_XLI_BYTES:
            raise _refusal("compressed leads that unpack to more than an ECG has")

    def _entity(self, *_declaration: object) -> None:
        raise _refusal("it declares entities")


def _refusal(why: str) -> InvalidEcg:
    return InvalidEcg(f"the XML is not read: {why}", reason="NOT_AN_ECG", field=FILE)


def _xli_bytes(data: bytes) -> int:
    """Return the unpacked size of chunks of XLI, or 0 if the data are not XLI.

    Each chunk has a header of 8 bytes, the first four its size, and 10-bit LZW codes.
    """
    total = place = 0
    while place + 8 <= len(data) and total <= MAX_XLI_BYTES:
        size = int.from_bytes(data[place : place + 4], "little")
        chunk = data[place + 8 : place + 8 + size]
        if len(chunk) < size or not size:
            return total
        total += MAX_XLI_BYTES + 1 if size > MAX_XLI_CHUNK else _lzw_bytes(chunk)
        place += 8 + size
    return total


def _lzw_bytes(chunk: bytes) -> int:
    """Return the unpacked size of 10-bit LZW codes, from the lengths of their strings."""
    bits = np.unpackbits(np.frombuffer(chunk, np.uint8))
    codes = (
        bits[: len(bits) // 10 * 10].reshape(-1, 10).astype(np.int64) @ (1 << np.arange(10))[::-1]
    )
    ends = np.flatnonzero(codes == 1023)
    codes = codes[: ends[0]] if len(ends) else codes
    lengths = [1] * 256 + [0] * 768
    total = previous = 0
    # Each code but the first adds a string one byte longer than the last; 1022 is the last string.
    for added, code in enumerate(codes[:768].tolist(), start=255):
        lengths[code] = length = lengths[code] or previous + 1
        if 256 <= added <= 1022:
            lengths[added] = previous + 1
        total, previous = total + length, length
    return total + int(np.array(lengths)[codes[768:]].sum())
