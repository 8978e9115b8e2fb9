import re
from xml.etree import ElementTree

import numpy as np
import pytest

from cardex.domain.ecg import LEADS, RecordingMetadata, Waveform
from cardex.plotting.page import draw_paper
from cardex.plotting.paper_style import LAYOUTS, PaperStyle
from cardex.plotting.svg import to_svg
from tests.helpers.ecgs import ecg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawing():
    metadata = RecordingMetadata("<b>&co", "", ('ST > 1 mm & "T" <script>', "Größe ≥ 3 мм"))
    return draw_paper(Waveform(ecg(), 500.0, metadata=metadata), PaperStyle())


@pytest.fixture(scope="module")
def root(drawing):
    return ElementTree.fromstring(to_svg(drawing))


def absolute(path):
    """Points of a path, (N, 2) mm."""
    numbers = [int(number) for number in re.findall(r"-?\d+", path.get("d"))]
    return np.cumsum(np.reshape(numbers, (-1, 2)), axis=0) / 100


def test_a_unit_is_a_millimetre(root):
    assert (root.get("width"), root.get("height")) == ("297mm", "210mm")
    assert root.get("viewBox") == "0 0 297 210"


def test_text_is_text_whatever_it_holds(root, drawing):
    assert [text.text for text in root.iter(f"{SVG}text")] == [text.text for text in drawing.texts]


def test_paths_are_the_drawings_lines(root, drawing):
    paths = {
        kind: [path for path in root.iter(f"{SVG}path") if path.get("class") == kind]
        for kind in ("trace", "pulse", "tick")
    }
    lines = {
        "trace": [trace.points for trace in drawing.traces],
        "pulse": drawing.pulses,
        "tick": drawing.ticks,
    }
    for kind, expected in lines.items():
        for path, points in zip(paths[kind], expected, strict=True):
            assert absolute(path) == pytest.approx(points, abs=0.0051)
    assert {path.get("data-lead") for path in paths["trace"]} == set(LEADS)


def test_nothing_comes_from_elsewhere(root):
    assert "http" not in to_svg_without_namespace(root)
    assert not list(root.iter(f"{SVG}image"))


def to_svg_without_namespace(root):
    return ElementTree.tostring(root, encoding="unicode").replace(SVG[1:-1], "")


@pytest.mark.parametrize("rate", [500.0, 1000.0, 4000.0])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_page_is_small(rate, layout):
    noisy = ecg(rate) + np.random.default_rng(0).normal(0, 0.05, (12, round(10 * rate)))
    page = draw_paper(Waveform(noisy.astype(np.float32), rate), PaperStyle(layout=layout))
    assert len(to_svg(page).encode()) < 400_000
