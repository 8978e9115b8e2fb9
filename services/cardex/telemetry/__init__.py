"""What every process of Cardex tells of itself: logs, metrics, traces, and its state by files."""
