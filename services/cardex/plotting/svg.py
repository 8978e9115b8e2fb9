"""A drawing as SVG, with lengths in millimetres and selectable text."""

from xml.sax.saxutils import escape, quoteattr

import numpy as np

from cardex.plotting.captions import Text
from cardex.plotting.inks import INK, PAPER, PEN_MM, THICK, THICK_MM, THIN, THIN_MM, TICK_MM
from cardex.plotting.page import Box, Drawing, Points

STEP_MM = 0.01
"""Coordinates of traces are whole numbers of this: a tenth of what a printer resolves."""


def to_svg(drawing: Drawing) -> str:
    """Return a stand-alone SVG document, whose user unit is a millimetre."""
    width, height = drawing.page
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm"'
            f' viewBox="0 0 {width:g} {height:g}" overflow="hidden">',
            "<title>12-lead ECG</title>",
            f'<rect width="{width:g}" height="{height:g}" fill="{PAPER}"/>',
            _grid(drawing.grid),
            f'<g transform="scale({STEP_MM:g})" fill="none" stroke="{INK}"'
            f' stroke-linejoin="round" stroke-width="{PEN_MM / STEP_MM:g}">',
            *(_path(points, "pulse") for points in drawing.pulses),
            *(_path(points, "tick", TICK_MM) for points in drawing.ticks),
            *(_path(trace.points, "trace", lead=trace.lead) for trace in drawing.traces),
            "</g>",
            f'<g fill="{INK}" font-family="sans-serif">',
            *map(_text, drawing.texts),
            "</g>",
            "</svg>\n",
        )
    )


def _grid(box: Box) -> str:
    thin = "".join(f"M{at} 0v5M0 {at}h5" for at in range(1, 5))
    place = f'x="{box.x:g}" y="{box.y:g}"'
    area = f'{place} width="{box.width:g}" height="{box.height:g}"'
    return (
        f'<defs><pattern id="ecg-grid" {place} width="5" height="5" patternUnits="userSpaceOnUse">'
        f'<path d="{thin}" stroke="{THIN}" stroke-width="{THIN_MM}"/>'
        # A pattern clips half of a line on its edge, so the line is drawn on both edges.
        f'<path d="M0 0v5h5v-5z" fill="none" stroke="{THICK}" stroke-width="{THICK_MM}"/>'
        "</pattern></defs>\n"
        f'<rect {area} fill="url(#ecg-grid)" stroke="{THICK}" stroke-width="{THICK_MM}"/>'
    )


def _path(points: Points, kind: str, pen: float = PEN_MM, lead: str = "") -> str:
    """Return a path of relative steps, rounded in absolute coordinates so that no error adds up."""
    steps = np.rint(points / STEP_MM).astype(np.int64)
    moves = np.diff(steps, axis=0).ravel().tolist()
    numbers = "".join(f"{move}" if move < 0 else f" {move}" for move in moves)
    of = f" data-lead={quoteattr(lead)}" if lead else ""
    width = "" if pen == PEN_MM else f' stroke-width="{pen / STEP_MM:g}"'
    return f'<path class="{kind}"{of}{width} d="M{steps[0, 0]} {steps[0, 1]}l{numbers}"/>'


def _text(text: Text) -> str:
    anchor = ' text-anchor="end"' if text.anchor == "end" else ""
    bold = ' font-weight="bold"' if text.bold else ""
    place = f'x="{text.x:g}" y="{text.y:g}" font-size="{text.size:g}"'
    return f"<text {place}{anchor}{bold}>{escape(text.text)}</text>"
