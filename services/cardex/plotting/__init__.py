"""An ECG on its grid paper: what is drawn where, and the two renderers."""
