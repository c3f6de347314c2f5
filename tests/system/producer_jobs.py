"""What the producers of test_producers.py do: jobs of RQ, and a script. They run where gevent and Flask are not installed."""

import os
import sys
import time

from flask_sluice import Event, Streams

UNWANTED = ("flask", "werkzeug", "gevent", "greenlet", "gunicorn", "urllib3", "prometheus_client")
streams = Streams(os.environ["REDIS_URL"])


def publish(stream_id, count):
    """Publish numbers, each of them with the time at which it was published."""
    with streams.create(id=stream_id, owner="ada", key=f"key-of-{stream_id}") as stream:
        for number in range(count):
            if stream.wait(0.01):
                break
            stream.publish(Event.json({"number": number, "published_at": time.time()}))


def publish_until_stopped(stream_id):
    with streams.create(id=stream_id) as stream:
        stream.publish(Event(data="begun"))
        while not stream.is_stopped:
            time.sleep(0.001)
        stream.publish(Event.json({"heard_at": time.time()}))


def fail(stream_id):
    with streams.create(id=stream_id) as stream:
        stream.publish(Event(data="begun"))
        raise LookupError("a secret")


def hang(stream_id):
    with streams.create(id=stream_id) as stream:
        stream.publish(Event(data="begun"))
        time.sleep(3600)


def count_unwanted(stream_id):
    """Tell which modules are there that a producer does not need."""
    with streams.create(id=stream_id) as stream:
        stream.publish(Event.json([name for name in UNWANTED if name in sys.modules]))


def publish_in_children(stream_id, *stream_ids_of_children):
    """Fork while a stream runs, and publish in each process."""
    with streams.create(id=stream_id) as stream:
        stream.publish(Event(data="the parent's"))
        children = [_fork(stream_id) for stream_id in stream_ids_of_children]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        stream.publish(Event.json(codes))


def _fork(stream_id):
    child = os.fork()
    if child == 0:
        try:
            publish(stream_id, 3)
        except BaseException:  # noqa: BLE001 - the child ends here
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    globals()[job](*(int(each) if each.isdigit() else each for each in arguments))
