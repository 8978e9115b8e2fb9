"""Bytes to waveform to image: readers, cleaning, quality, encodings and layouts. Pure functions."""
