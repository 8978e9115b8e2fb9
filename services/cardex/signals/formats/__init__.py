"""Clinical file formats, each from bytes to a waveform. Any file may be damaged or malicious."""
