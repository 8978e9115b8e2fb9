"""Cardex on one host: what belongs to `compose.yaml` beside the images."""
