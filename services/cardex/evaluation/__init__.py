"""How good the encoders are: retrieval, detection and drafted reports, from scores and texts alone."""
