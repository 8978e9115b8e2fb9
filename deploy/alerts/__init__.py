"""The alerts: rules.yaml is what Prometheus reads; recorded.yaml is what promtool replays."""
