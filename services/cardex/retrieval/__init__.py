"""One question answered: embed, search, re-rank, findings. Knows no gRPC, Celery or FastAPI."""
