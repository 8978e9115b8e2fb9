"""Measurements of the whole way and of its parts."""
