"""Grafana's dashboards as code: boards.py says what they show, and the JSON files are of it."""
