"""The first line of a gunicorn file for its gevent workers, and nothing more."""

from gevent import monkey

monkey.patch_all()
