"""Colours and line widths of ECG paper, for SVG and PNG alike."""

PAPER = "#ffffff"
THIN = "#f7cccc"
THICK = "#e89a9a"
INK = "#101010"

THIN_MM = 0.1
THICK_MM = 0.2
PEN_MM = 0.25
TICK_MM = 0.3
