"""Clinical file formats, each from bytes to a waveform. Files are hostile until they are read."""
