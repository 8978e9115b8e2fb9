"""Colours and pens of ECG paper, the same on screen and in print."""

PAPER = "#ffffff"
THIN = "#f7cccc"
THICK = "#e89a9a"
INK = "#101010"

THIN_MM = 0.1
THICK_MM = 0.2
PEN_MM = 0.25
TICK_MM = 0.3
