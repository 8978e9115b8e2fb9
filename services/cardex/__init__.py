"""Cardex: a card index of ECGs. Finds the clinical reports of the most similar cases."""

__version__ = "0.1.0"
