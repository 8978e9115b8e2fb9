"""The layout of a 12-lead ECG on grid paper, in millimetres, for any renderer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import LEADS, RecordingMetadata, Waveform
from cardex.domain.errors import InvalidQuestion
from cardex.plotting.captions import Text, fitted, paragraph, printable, width_of
from cardex.plotting.paper_style import LAYOUTS, STRIP_MM, PaperStyle

Points = NDArray[np.float64]

PAGE_MM = (297.0, 210.0)
PULSE_MM = 15.0
"""Width of the margin before the strip, for the calibration pulse."""
PULSE_S = 0.2
RESOLUTION_MM = 0.1
"""A trace keeps only the extremes of each column of this width: a pen is wider."""

ABOVE = 0.6
"""Share of a row above its baseline: most R waves are taller than S waves are deep."""
ROOMY_MM = 20.0
"""If rows are closer than this, their labels are in the margin."""
LABEL_MM = 4.0
TEXT_MM = 3.0
LINE_MM = 4.0
STATEMENT_LINES = 4
NOTICE = "RESEARCH USE ONLY"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on the page, mm from its top left corner."""

    x: float
    y: float
    width: float
    height: float


GRID = Box(11.0, 28.0, 275.0, 170.0)
"""A whole number of boxes of 5 mm, so that strips begin and end on a thick line."""
STRIP_X = GRID.x + PULSE_MM


@dataclass(frozen=True, slots=True)
class Trace:
    """A piece of one lead.

    Attributes:
        lead: its name.
        points: (N, 2) float64, mm from the page's top left; none is below the grid.
    """

    lead: str
    points: Points


@dataclass(frozen=True, slots=True)
class Drawing:
    """A page with its grid, lines and text, complete for a renderer.

    Attributes:
        page: width and height, mm.
        grid: its rectangle; thin lines are every mm and thick ones every 5 mm from its corner.
        traces: pieces of the leads, row by row, from left to right.
        pulses: a calibration pulse for each row, (6, 2) mm each.
        ticks: marks between the leads of a row, (2, 2) mm each.
        texts: labels, header and footer.
    """

    page: tuple[float, float]
    grid: Box
    traces: tuple[Trace, ...]
    pulses: tuple[Points, ...]
    ticks: tuple[Points, ...]
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class _Cell:
    """The place of one lead: `x`, `width` and `baseline` in mm; `time` is its start, s."""

    lead: str
    x: float
    width: float
    baseline: float
    time: float


def draw_paper(waveform: Waveform, style: PaperStyle) -> Drawing:
    """Lay out an ECG on a page of A4 landscape.

    Each lead is shifted so that the median of its piece lies on the baseline of its row. A record
    that is shorter than the strip is drawn to its end.

    Args:
        waveform: a checked record.
        style: scales, layout and what to print.

    Raises:
        InvalidQuestion: if the strip starts outside the record.
    """
    if not 0 <= style.start < waveform.seconds:
        raise InvalidQuestion(
            f"start {style.start:g} s: the record has {waveform.seconds:g} s,"
            " so start at 0 or later, and before its end",
            field="start",
        )
    rows = LAYOUTS[style.layout]
    pitch = _pitch(len(rows))
    cells = list(_cells(style))
    drawn = [_trace(waveform, cell, style) for cell in cells]
    traces = tuple(trace for trace in drawn if len(trace.points))
    labels = [
        text
        for cell, trace in zip(cells, drawn, strict=True)
        for text in _labels(cell, pitch, traces, ended=not len(trace.points))
    ]
    header = _header(waveform.metadata) if style.header else []
    baselines = [_baseline(row, len(rows)) for row in range(len(rows))]
    return Drawing(
        page=PAGE_MM,
        grid=GRID,
        traces=traces,
        pulses=tuple(_pulse(baseline, style) for baseline in baselines),
        ticks=tuple(tick for cell in cells if cell.x > STRIP_X for tick in _ticks(cell)),
        texts=(*labels, *header, *_footer(waveform, style)),
    )


def _baseline(row: int, rows: int) -> float:
    pitch = _pitch(rows)
    return GRID.y + (GRID.height - rows * pitch) + math.floor(ABOVE * pitch) + row * pitch


def _pitch(rows: int) -> float:
    return GRID.height // rows


def _cells(style: PaperStyle) -> Iterator[_Cell]:
    rows = LAYOUTS[style.layout]
    for number, leads in enumerate(rows):
        baseline = _baseline(number, len(rows))
        width = STRIP_MM / len(leads)
        for column, lead in enumerate(leads):
            time = style.start + column * width / style.speed
            yield _Cell(lead, STRIP_X + column * width, width, baseline, time)


def _trace(waveform: Waveform, cell: _Cell, style: PaperStyle) -> Trace:
    rate, end = waveform.rate, cell.time + cell.width / style.speed
    first = math.ceil(cell.time * rate - 1e-6)
    after = min(math.floor(end * rate + 1e-6) + 1, waveform.signal.shape[1])
    if after - first < 2:
        return Trace(cell.lead, np.empty((0, 2)))
    shown = waveform.signal[LEADS.index(cell.lead), first:after].astype(np.float64)
    x = cell.x + (np.arange(first, after) / rate - cell.time) * style.speed
    y = cell.baseline - (shown - np.median(shown)) * style.gain
    y = np.clip(y, 0.0, GRID.y + GRID.height)  # so that no trace crosses the footer
    return Trace(cell.lead, _thinned(np.stack([x, y], axis=1)))  # (N, 2)


def _thinned(points: Points) -> Points:
    """Keep the first and last point, and the extremes of each column of `RESOLUTION_MM`."""
    column = np.floor((points[:, 0] - points[0, 0]) / RESOLUTION_MM + 1e-6)
    if len(points) <= 2 * (column[-1] + 1):
        return points
    by_height = np.lexsort((points[:, 1], column))
    starts = np.flatnonzero(np.diff(column, prepend=-1.0))
    ends = np.append(starts[1:], len(points)) - 1
    kept = np.concatenate([by_height[starts], by_height[ends], [0, len(points) - 1]])
    thinned: Points = points[np.unique(kept)]
    return thinned


def _pulse(baseline: float, style: PaperStyle) -> Points:
    """Return a calibration pulse, 1 mV for 0.2 s, between two pieces of the baseline: (6, 2) mm."""
    width, top = PULSE_S * style.speed, baseline - style.gain
    rise = GRID.x + (PULSE_MM - width) / 2
    fall = rise + width
    corners = ((rise - 2, baseline), (rise, baseline), (rise, top), (fall, top), (fall, baseline))
    return np.array([*corners, (fall + 2, baseline)])


def _ticks(cell: _Cell) -> Iterator[Points]:
    """Yield marks above and below the baseline; a mark on it would look like a pacing spike."""
    for near, far in ((-5.0, -8.0), (5.0, 8.0)):
        yield np.array([(cell.x, cell.baseline + near), (cell.x, cell.baseline + far)])


def _labels(cell: _Cell, pitch: float, traces: tuple[Trace, ...], *, ended: bool) -> Iterator[Text]:
    if pitch < ROOMY_MM:
        yield Text(cell.lead, GRID.x - 1, cell.baseline + 1.5, LABEL_MM, anchor="end", bold=True)
        return
    x = cell.x + 1.5
    y = _free(x, width_of(cell.lead, LABEL_MM), cell.baseline, pitch, traces)
    yield Text(cell.lead, x, y, LABEL_MM, bold=True)
    if ended:
        yield Text("the record has ended", x, y + LINE_MM, TEXT_MM)


def _free(
    x: float, width: float, baseline: float, pitch: float, traces: tuple[Trace, ...]
) -> float:
    """Return a y in the row, above or below its trace, at which no trace crosses a label."""
    pieces = [t.points[(t.points[:, 0] > x - 1) & (t.points[:, 0] < x + width)] for t in traces]
    spans = [(piece[:, 1].min() - 1, piece[:, 1].max() + 1) for piece in pieces if len(piece)]
    usual = 8.0
    above = np.arange(baseline - usual, baseline - ABOVE * pitch + LABEL_MM, -0.5)
    below = np.arange(baseline + LABEL_MM + 2, baseline + (1 - ABOVE) * pitch, 0.5)
    for y in (*above, *below):
        if all(y < top or y - LABEL_MM > bottom for top, bottom in spans):
            return float(y)
    return baseline - usual


def _header(metadata: RecordingMetadata) -> list[Text]:
    """Return texts: device and time on the left, the machine's statements on the right."""
    left, middle, right, y = GRID.x, GRID.x + 95.0, GRID.x + GRID.width, 8.0
    recorded = printable(metadata.recorded_at).replace("T", " ")
    facts = (printable(metadata.device), f"Recorded {recorded}" if recorded else "")
    texts = [
        Text(fitted(fact, TEXT_MM, middle - left - 5), left, y + number * LINE_MM, TEXT_MM)
        for number, fact in enumerate(fact for fact in facts if fact)
    ]
    statements = [text for text in map(printable, metadata.statements) if text]
    if statements:
        texts.append(
            Text("Statements of the machine, from the file:", middle, y, TEXT_MM, bold=True)
        )
    lines = paragraph(statements, TEXT_MM, right - middle, STATEMENT_LINES)
    return texts + [
        Text(line, middle, y + number * LINE_MM, TEXT_MM) for number, line in enumerate(lines, 1)
    ]


def _footer(waveform: Waveform, style: PaperStyle) -> list[Text]:
    left, right, y = GRID.x, GRID.x + GRID.width, GRID.y + GRID.height + 5
    end = min(style.start + style.seconds, waveform.seconds)
    facts = (
        f"{style.speed:g} mm/s {style.gain:g} mm/mV",
        style.processing,
        f"{waveform.rate:g} Hz",
        waveform.source,
        f"{style.start:g} to {end:g} s of {waveform.seconds:g} s",
    )
    room = right - left - width_of(NOTICE, TEXT_MM) - 5
    line = fitted(printable(" | ".join(facts)), TEXT_MM, room)
    return [
        Text(line, left, y, TEXT_MM),
        Text(NOTICE, right, y, TEXT_MM, anchor="end", bold=True),
    ]
