import io

import numpy as np
import pytest
from PIL import Image, ImageFont

from cardex.domain.ecg import RecordingMetadata, Waveform
from cardex.domain.errors import InvalidQuestion
from cardex.plotting.page import GRID, draw_paper
from cardex.plotting.paper_style import PaperStyle
from cardex.plotting.png import _spelled, to_png

DARK = 110


@pytest.fixture(scope="module")
def drawing():
    signal = np.zeros((12, 5000), dtype=np.float32)
    signal[:, 500:600] = 1.0
    return draw_paper(Waveform(signal, 500.0), PaperStyle())


@pytest.fixture(scope="module")
def page(drawing):
    """The page at 254 dpi, ten pixels to the millimetre: (2100, 2970) of darkness and redness."""
    return np.asarray(Image.open(io.BytesIO(to_png(drawing, 254))).convert("RGB")).astype(int)


@pytest.mark.parametrize(("dpi", "size"), [(50, (585, 413)), (150, (1754, 1240))])
def test_a_page_prints_at_true_scale(drawing, dpi, size):
    image = Image.open(io.BytesIO(to_png(drawing, dpi)))
    assert image.size == size
    assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.02)


@pytest.mark.parametrize("dpi", [0, 49, 601])
def test_another_resolution_is_refused(drawing, dpi):
    with pytest.raises(InvalidQuestion, match="50 to 600"):
        to_png(drawing, dpi)


def test_lines_are_where_the_drawing_has_them(drawing, page):
    lines = [*drawing.pulses, *(trace.points for trace in drawing.traces)]
    for x, y in np.concatenate(lines):
        column, row = int(x * 10), int(y * 10)
        assert page[row - 1 : row + 2, column - 1 : column + 2, 1].min() < DARK


def test_a_pulse_is_ten_millimetres_high_and_five_wide(drawing, page):
    rise, top, fall = drawing.pulses[0][1], drawing.pulses[0][2], drawing.pulses[0][3]
    middle = int((rise[0] + fall[0]) / 2 * 10)
    beside = int((rise[0] - 1) * 10)
    dark = page[..., 1] < DARK
    ceiling = np.flatnonzero(dark[int(top[1] * 10) - 20 : int(top[1] * 10) + 20, middle]).mean()
    ground = np.flatnonzero(dark[int(rise[1] * 10) - 20 : int(rise[1] * 10) + 20, beside]).mean()
    assert abs(ceiling - ground) <= 1  # equal places in windows that are 10 mm apart
    half = int((top[1] + 5) * 10)
    left, right = np.flatnonzero(dark[half, int(rise[0] * 10) - 20 : int(fall[0] * 10) + 20])[
        [0, -1]
    ]
    assert right - left == pytest.approx(50, abs=4)


def test_thick_lines_are_five_millimetres_apart(page):
    y = int((GRID.y + 2.5) * 10)
    row = page[y, int(GRID.x * 10) - 2 : int((GRID.x + GRID.width) * 10) + 3]
    thick = np.flatnonzero((row[:, 1] < 190) & (row[:, 0] > 200))
    starts = thick[np.flatnonzero(np.diff(thick, prepend=-10) > 1)]
    assert len(starts) == GRID.width / 5 + 1
    assert np.diff(starts) == pytest.approx(50, abs=1)


def test_a_wave_beyond_the_page_is_cut_at_its_border():
    signal = np.zeros((12, 5000), dtype=np.float32)
    signal[:, 500:510] = 90.0
    page = draw_paper(Waveform(signal, 500.0), PaperStyle(gain=20.0))
    assert Image.open(io.BytesIO(to_png(page, 50))).size == (585, 413)


def test_letters_that_the_font_lacks_are_spelled():
    assert _spelled("Größe ≥ 3 µV \N{EN DASH} évident…") == "Grosse >= 3 uV - evident…"
    assert _spelled("мм") == "??"


def test_all_that_is_spelled_is_in_the_font():
    font = ImageFont.load_default(size=20)
    missing = bytes(font.getmask("\ufffe"))
    assert bytes(font.getmask("…")) != missing
    assert all(bytes(font.getmask(chr(code))) != missing for code in range(33, 127))


def test_a_page_with_any_text_is_drawn():
    metadata = RecordingMetadata("Kardiogerät", "2020", ("心電図 <&>",))
    page = draw_paper(
        Waveform(np.zeros((12, 5000), np.float32), 500.0, metadata=metadata), PaperStyle()
    )
    assert to_png(page, 50)
