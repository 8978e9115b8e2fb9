"""Measures how good the models are at retrieval, detection and drafted reports."""
