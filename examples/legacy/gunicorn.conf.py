"""gunicorn's settings. gunicorn reads this file because it is in the folder that gunicorn is started in."""

from gevent import monkey

monkey.patch_all()

bind = "127.0.0.1:8000"
workers = 2
accesslog = "-"
worker_class = "gevent"
