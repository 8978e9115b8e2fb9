"""What Triton is given: versions, configurations, reduced precision, engines."""
