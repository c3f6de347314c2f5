"""The jobs of channel_jobs.py as Celery tasks."""

import os

from celery import Celery

from tests.system import channel_jobs

celery = Celery("channels", broker=os.environ["REDIS_URL"].replace("unix://", "redis+socket://"))
publish = celery.task(channel_jobs.publish, name="publish")
