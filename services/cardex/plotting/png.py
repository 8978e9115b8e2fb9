"""A drawing as PNG. It is drawn larger and scaled down, so that its lines are smooth."""

import io
import unicodedata

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cardex.domain.errors import InvalidQuestion
from cardex.plotting.captions import ELLIPSIS, Text
from cardex.plotting.inks import INK, PAPER, PEN_MM, THICK, THICK_MM, THIN, THIN_MM, TICK_MM
from cardex.plotting.page import Drawing, Points

MIN_DPI, MAX_DPI = 50, 600
MM_PER_INCH = 25.4
_OVERSAMPLING = 3
_SPELLED = str.maketrans(
    {
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MINUS SIGN}": "-",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{GREATER-THAN OR EQUAL TO}": ">=",
        "\N{LESS-THAN OR EQUAL TO}": "<=",
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{DEGREE SIGN}": " deg",
        "\N{LATIN SMALL LETTER SHARP S}": "ss",
    }
)


def to_png(drawing: Drawing, dpi: int) -> bytes:
    """Return a PNG with its resolution, so that it is printed at true scale.

    Args:
        drawing: the page.
        dpi: pixels per inch, 50 to 600.

    Raises:
        InvalidQuestion: if `dpi` is outside of these.
    """
    if not MIN_DPI <= dpi <= MAX_DPI:
        raise InvalidQuestion(f"dpi {dpi}: must be {MIN_DPI} to {MAX_DPI}", field="dpi")
    width, height = (round(side / MM_PER_INCH * dpi) for side in drawing.page)
    # A4 at 600 dpi takes 100 MB and needs no smoothing.
    factor = max(1, min(_OVERSAMPLING, MAX_DPI // dpi))
    large = _Canvas(drawing, (width * factor, height * factor)).image
    image = large if factor == 1 else large.reduce(factor)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", dpi=(dpi, dpi))
    return buffer.getvalue()


class _Canvas:
    """An image of the whole page."""

    def __init__(self, drawing: Drawing, size: tuple[int, int]) -> None:
        self.image = Image.new("RGB", size, PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self._scale = size[0] / drawing.page[0]
        self._grid(drawing)
        for points in drawing.pulses:
            self._line(points, PEN_MM)
        for points in drawing.ticks:
            self._line(points, TICK_MM)
        for trace in drawing.traces:
            self._line(trace.points, PEN_MM)
        for text in drawing.texts:
            self._text(text)

    def _grid(self, drawing: Drawing) -> None:
        box = drawing.grid
        right, bottom = box.x + box.width, box.y + box.height
        for every, ink, pen in ((1, THIN, THIN_MM), (5, THICK, THICK_MM)):
            for x in np.arange(box.x, right + 0.5, every):
                self._line(np.array([(x, box.y), (x, bottom)]), pen, ink)
            for y in np.arange(box.y, bottom + 0.5, every):
                self._line(np.array([(box.x, y), (right, y)]), pen, ink)

    def _line(self, points: Points, pen: float, ink: str = INK) -> None:
        # Pixel 0 covers 0 to 1, so its centre is at half a pixel.
        pixels = np.rint(points * self._scale - 0.5).ravel().tolist()
        self._draw.line(pixels, fill=ink, width=max(1, round(pen * self._scale)), joint="curve")

    def _text(self, text: Text) -> None:
        size = text.size * self._scale
        self._draw.text(
            (text.x * self._scale, text.y * self._scale),
            _spelled(text.text),
            fill=INK,
            font=ImageFont.load_default(size=size),
            anchor="ls" if text.anchor == "start" else "rs",
            stroke_width=0.02 * size if text.bold else 0,
        )


def _spelled(text: str) -> str:
    """Return the text in letters of Pillow's own font, with "?" for those without an equivalent."""
    decomposed = unicodedata.normalize("NFKD", text.replace(ELLIPSIS, "\0").translate(_SPELLED))
    base = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return base.encode("ascii", "replace").decode("ascii").replace("\0", ELLIPSIS)
