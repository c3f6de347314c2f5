"""The Celery tasks. Their process needs neither Flask nor gevent."""

import os

from celery import Celery

from flask_sluice import ApiError, Event, Streams

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

celery = Celery("tasks", broker=os.environ.get("BROKER_URL", REDIS_URL))
# Made before Celery forks its processes: each of them makes its own connections.
streams = Streams(REDIS_URL)


@celery.task
def research(stream_id, owner, question):
    with streams.create(id=stream_id, owner=owner) as stream:
        for number in range(1, 31):
            # In place of work. It returns True at once when the user stops the job.
            if stream.wait(0.05):
                break
            if "fail" in question and number == 3:
                raise ApiError(502, "no_answer", "the library is closed")
            stream.publish(Event.json({"step": number}))
