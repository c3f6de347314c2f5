"""gunicorn's settings. gunicorn reads this file because it is in the folder that gunicorn is started in."""

from flask_sluice.server import configure

# Patches the process for gevent, and sets the worker class, the time limits and the graceful shutdown.
configure(globals(), drain_seconds=120)

# The app's own settings, as they were.
bind = "127.0.0.1:8000"
workers = 2
accesslog = "-"
