"""REST over the gateway: a thin client that decides nothing."""
