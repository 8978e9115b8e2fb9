from itertools import combinations, pairwise

import numpy as np
import pytest

from cardex.domain.ecg import LEADS, RecordingMetadata, Waveform
from cardex.domain.errors import InvalidQuestion
from cardex.plotting.captions import width_of
from cardex.plotting.page import GRID, NOTICE, PAGE_MM, STRIP_X, draw_paper
from cardex.plotting.paper_style import GAINS, LAYOUTS, SPEEDS, PaperStyle
from tests.helpers.ecgs import ecg

EVERY_STYLE = [
    PaperStyle(speed, gain, layout) for speed in SPEEDS for gain in GAINS for layout in LAYOUTS
]


def flat(rate=500.0, seconds=10.0):
    return np.zeros((12, round(rate * seconds)), dtype=np.float32)


def words(drawing):
    return [text.text for text in drawing.texts]


def label(drawing, lead, which=0):
    return [text for text in drawing.texts if text.text == lead][which]


@pytest.mark.parametrize("style", EVERY_STYLE, ids=str)
def test_a_pulse_is_a_millivolt_for_a_fifth_of_a_second(style):
    drawing = draw_paper(Waveform(flat(), 500.0), style)
    assert len(drawing.pulses) == len(LAYOUTS[style.layout])
    for pulse in drawing.pulses:
        assert np.ptp(pulse[:, 1]) == style.gain
        assert pulse[3, 0] - pulse[2, 0] == pytest.approx(0.2 * style.speed)
        assert GRID.x <= pulse[:, 0].min() and pulse[:, 0].max() < STRIP_X


@pytest.mark.parametrize("style", EVERY_STYLE, ids=str)
def test_a_peak_stands_where_its_time_and_height_say(style):
    signal, rate = flat(), 500.0
    signal[:, 600] = 1.5  # at 1.2 s
    drawing = draw_paper(Waveform(signal, rate), style)
    for leads, pulse in zip(LAYOUTS[style.layout], drawing.pulses, strict=True):
        width = 250.0 / len(leads)
        column = int(1.2 * style.speed // width)
        at_place = [
            trace.points
            for trace in drawing.traces
            if trace.lead == leads[column]
            and trace.points[-1, 1] == pulse[0, 1]
            and trace.points[0, 0] == STRIP_X + column * width
        ]
        (points,) = at_place
        top = points[points[:, 1].argmin()]
        assert top == pytest.approx((STRIP_X + 1.2 * style.speed, pulse[0, 1] - 1.5 * style.gain))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_leads_stand_in_their_rows_and_columns(layout):
    drawing = draw_paper(Waveform(ecg(), 500.0), PaperStyle(layout=layout))
    rows = LAYOUTS[layout]
    assert [trace.lead for trace in drawing.traces] == [lead for row in rows for lead in row]
    assert {trace.lead for trace in drawing.traces} == set(LEADS)
    assert len(drawing.ticks) == 2 * sum(len(row) - 1 for row in rows)
    traces = iter(drawing.traces)
    for row, pulse in zip(rows, drawing.pulses, strict=True):
        for column in range(len(row)):
            points = next(traces).points
            left = STRIP_X + column * 250 / len(row)
            assert points[0, 0] == pytest.approx(left)
            assert points[-1, 0] == pytest.approx(left + 250 / len(row), abs=0.06)
            assert abs(np.median(points[:, 1]) - pulse[0, 1]) < 0.2


def test_the_usual_layout_is_that_of_every_ward():
    assert LAYOUTS[PaperStyle().layout] == (
        ("I", "aVR", "V1", "V4"),
        ("II", "aVL", "V2", "V5"),
        ("III", "aVF", "V3", "V6"),
        ("II",),
    )


def test_columns_go_on_in_time():
    signal = flat()
    signal[:, 2000] = 1.0  # at 4 s: 1.5 s into the second column
    drawing = draw_paper(Waveform(signal, 500.0), PaperStyle())
    peaked = [trace for trace in drawing.traces if np.ptp(trace.points[:, 1])]
    assert [trace.lead for trace in peaked] == ["aVR", "aVL", "aVF", "II"]
    for trace in peaked:
        assert trace.points[trace.points[:, 1].argmin(), 0] == pytest.approx(STRIP_X + 100.0)


def test_a_strip_begins_where_it_is_told():
    signal = flat(seconds=30.0)
    signal[1, 6000] = 1.0  # at 12 s
    drawing = draw_paper(Waveform(signal, 500.0), PaperStyle(start=11.0))
    rhythm = drawing.traces[-1].points
    assert rhythm[rhythm[:, 1].argmin(), 0] == pytest.approx(STRIP_X + 25.0)
    assert any("11 to 21 s of 30 s" in text for text in words(drawing))


@pytest.mark.parametrize("start", [-1.0, 10.0, float("nan")])
def test_a_strip_cannot_begin_outside_the_record(start):
    with pytest.raises(InvalidQuestion, match="10 s") as caught:
        draw_paper(Waveform(flat(), 500.0), PaperStyle(start=start))
    assert caught.value.field == "start"


def test_a_short_record_is_drawn_as_far_as_it_goes():
    drawing = draw_paper(Waveform(ecg(seconds=4.0), 500.0), PaperStyle())
    leads = ["I", "aVR", "II", "aVL", "III", "aVF", "II"]
    assert [trace.lead for trace in drawing.traces] == leads
    assert drawing.traces[-1].points[-1, 0] == pytest.approx(STRIP_X + 100.0, abs=0.06)
    assert words(drawing).count("the record has ended") == 6
    assert set(LEADS) <= set(words(drawing))
    assert any("0 to 4 s of 4 s" in text for text in words(drawing))


def test_a_lead_that_is_off_is_a_line_with_its_name():
    signal = ecg()
    signal[LEADS.index("V1")] = -3.0
    drawing = draw_paper(Waveform(signal, 500.0), PaperStyle())
    (trace,) = (trace for trace in drawing.traces if trace.lead == "V1")
    assert np.ptp(trace.points[:, 1]) == 0
    assert trace.points[0, 1] == drawing.pulses[0][0, 1]
    assert label(drawing, "V1")


@pytest.mark.parametrize("bpm", [50.0, 66.0, 110.0])
@pytest.mark.parametrize("layout", ["3x4+1", "6x2"])
def test_no_label_and_no_other_row_is_crossed_in_an_ordinary_ecg(layout, bpm):
    drawing = draw_paper(Waveform(ecg(bpm=bpm), 500.0), PaperStyle(layout=layout))
    for text in drawing.texts:
        if text.text in LEADS:
            for trace in drawing.traces:
                x, y = trace.points.T
                inside = (x > text.x) & (x < text.x + width_of(text.text, text.size))
                assert not (inside & (y < text.y) & (y > text.y - text.size)).any()
    baselines = [pulse[0, 1] for pulse in drawing.pulses]
    for above, below in pairwise(baselines):
        upper = [t.points for t in drawing.traces if abs(np.median(t.points[:, 1]) - above) < 3]
        lower = [t.points for t in drawing.traces if abs(np.median(t.points[:, 1]) - below) < 3]
        assert max(p[:, 1].max() for p in upper) < min(p[:, 1].min() for p in lower)


def test_a_label_leaves_a_tall_wave_alone():
    signal = flat()
    signal[:, 50:100] = 0.8  # across the label's usual place
    drawing = draw_paper(Waveform(signal, 500.0), PaperStyle())
    assert label(drawing, "I").y < drawing.pulses[0][0, 1] - 8.0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bpm", [40.0, 120.0])
def test_no_label_stands_on_another(layout, bpm):
    drawing = draw_paper(Waveform(3 * ecg(bpm=bpm), 500.0), PaperStyle(layout=layout))
    labels = [text for text in drawing.texts if text.text in LEADS]
    assert len(labels) == len(drawing.traces)
    for one, other in combinations(labels, 2):
        assert abs(one.x - other.x) > 10 or abs(one.y - other.y) >= one.size


def test_labels_of_close_rows_stand_in_the_margin():
    drawing = draw_paper(Waveform(ecg(), 500.0), PaperStyle(layout="12x1"))
    for lead, pulse in zip(LEADS, drawing.pulses, strict=True):
        text = label(drawing, lead)
        assert text.x - width_of(lead, text.size) > 0
        assert text.x < GRID.x
        assert text.y - text.size < pulse[0, 1] < text.y


def test_the_extremes_of_a_fast_record_are_kept():
    signal, rate = flat(4000.0), 4000.0
    signal[1, 20001], signal[1, 20003] = 1.0, -1.0
    rhythm = draw_paper(Waveform(signal, rate), PaperStyle()).traces[-1].points
    assert len(rhythm) <= 2 * 2501 + 2
    assert np.ptp(rhythm[:, 1]) == 20.0
    assert rhythm[rhythm[:, 1].argmin(), 0] == pytest.approx(STRIP_X + 20001 / rate * 25)
    assert (np.diff(rhythm[:, 0]) > 0).all()


def test_the_footer_says_what_a_reader_must_know():
    style = PaperStyle(50.0, 20.0, processing="high-pass 0.5 Hz")
    said = " ".join(words(draw_paper(Waveform(flat(), 500.0, "DICOM"), style)))
    for fact in ("50 mm/s 20 mm/mV", "high-pass 0.5 Hz", "500 Hz", "DICOM", NOTICE):
        assert fact in said


METADATA = RecordingMetadata(
    "GE MAC 5500", "2020-02-03T10:11:12", ("Sinus rhythm", "Normal ECG"), "f00d"
)


def test_the_header_says_what_the_file_says():
    said = words(draw_paper(Waveform(flat(), 500.0, metadata=METADATA), PaperStyle()))
    for fact in (METADATA.device, "Recorded 2020-02-03 10:11:12", *METADATA.statements):
        assert fact in said
    assert "f00d" not in " ".join(said)


def test_the_header_can_be_left_out():
    with_metadata = Waveform(flat(), 500.0, metadata=METADATA)
    assert words(draw_paper(with_metadata, PaperStyle(header=False))) == words(
        draw_paper(Waveform(flat(), 500.0), PaperStyle())
    )


@pytest.mark.parametrize(
    "statements",
    [("ST elevation " * 200,), ("W" * 500,), ("Normal ECG",) * 50, ("a\0b\x1b[31m\n",)],
)
def test_long_statements_stay_above_the_grid_and_on_the_page(statements):
    metadata = RecordingMetadata("D" * 300, "T" * 300, statements)
    drawing = draw_paper(Waveform(flat(), 500.0, metadata=metadata), PaperStyle())
    for text in drawing.texts:
        assert text.text.isprintable()
        if text.anchor == "start":
            assert text.x + width_of(text.text, text.size) <= GRID.x + GRID.width
        assert text.y - text.size > 0 and text.y < PAGE_MM[1]
    lines = [text for text in drawing.texts if text.y < GRID.y]
    assert max(text.y for text in lines) < GRID.y - 2
    assert len(lines) <= 7


@pytest.mark.parametrize(
    ("given", "field"),
    [({"speed": 30.0}, "speed"), ({"gain": 1.0}, "gain"), ({"layout": "4x3"}, "layout")],
)
def test_a_wrong_style_is_refused_with_what_there_is(given, field):
    with pytest.raises(InvalidQuestion, match="must be one of") as caught:
        PaperStyle(**given)
    assert caught.value.field == field
