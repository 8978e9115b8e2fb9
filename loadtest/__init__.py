"""Benchmarks of the whole stack and of its parts."""
