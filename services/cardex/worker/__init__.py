"""The Celery worker: takes jobs, has them answered, writes the results."""
