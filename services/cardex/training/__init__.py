"""Models, data, training, evaluation and export. The only room that imports torch."""
