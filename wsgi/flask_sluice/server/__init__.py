"""gunicorn: the worker, the master, the connections, and the settings to start from."""
