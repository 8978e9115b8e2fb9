"""Redis (jobs, payloads, cache) and Milvus (reports), each behind a small interface."""
