"""Drawing an ECG on grid paper: the layout of the page, and its output as SVG and PNG."""
