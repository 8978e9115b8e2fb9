import pytest

from loadtest.pictures import draw
from loadtest.profiles import _slope, quantiles, stages
from loadtest.sampler import Samples
from loadtest.traffic import Answered, Imported

ANSWERS = [Answered(float(n), (n + 1) / 1000, "", {"queue": 0.0005}) for n in range(100)]
REFUSED = Answered(100.0, 5.0, "RESOURCE_EXHAUSTED")


def test_quantiles_are_of_what_was_answered_and_the_rest_is_counted():
    found = quantiles("alone", [*ANSWERS, REFUSED])
    assert found["alone: p50 ms"] == pytest.approx(50.5)
    assert found["alone: slowest ms"] == pytest.approx(100.0)
    assert found["alone: refused"] == 1


def test_what_no_stage_tells_is_the_rest():
    found = stages("alone", [*ANSWERS, REFUSED])
    assert found["alone: queue p50 ms"] == pytest.approx(0.5)
    assert found["alone: the rest p50 ms"] == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("series", "per_cent"),
    [([5.0] * 20, 0.0), ([1.0, *([9.0] * 20)], 0.0), (list(range(100, 200)), 28.6), ([1.0], 0.0)],
)
def test_the_slope_is_that_of_the_second_half(series, per_cent):
    assert _slope(series) == pytest.approx(per_cent, abs=0.1)


def test_a_picture_has_a_panel_for_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("loadtest.pictures.FOLDER", tmp_path)
    samples = Samples([0.5, 1.0], [3, 1], [0.2, 0.1], [0.0, 0.0], {"gateway": [50.0, 51.0]})
    imported = Imported(2, 1.5, [0.5, 1.5], 0)
    path = draw("mixed", bedside_alone=ANSWERS, imported=imported, samples=samples)
    assert path.name == "load-mixed.svg"
    text = path.read_text()
    assert (
        text == draw("mixed", bedside_alone=ANSWERS, imported=imported, samples=samples).read_text()
    )
    assert draw("bedside", bedside_alone=ANSWERS).stat().st_size < len(text)
