"""What the publishers of test_channel_publishers.py do: a script, jobs of RQ, Celery tasks. gevent and Flask are not installed there."""

import os
import sys
from itertools import count

from flask_sluice import Channels

UNWANTED = ("flask", "werkzeug", "gevent", "greenlet", "gunicorn", "urllib3", "prometheus_client")
# Made when the module is imported: before Celery and RQ fork.
channels = Channels(os.environ["REDIS_URL"])


def publish(name, number_of_events):
    for number in range(number_of_events):
        channels.publish(name, {"pid": os.getpid(), "number": number}, event="job")


def tell_what_is_imported(name):
    channels.publish(name, [module for module in UNWANTED if module in sys.modules])


def publish_for_ever(name):
    """Print each number when it is published."""
    for number in count():
        channels.publish(name, number)
        print(number, flush=True)


def publish_in_children(name, number_of_children, number_of_events):
    """Fork when there is a connection already, and publish in all processes at the same time. Tell how the children ended."""
    channels.publish(name, "begun")
    children = [_fork(name, number_of_events) for _ in range(number_of_children)]
    publish(name, number_of_events)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    channels.publish(name, codes)


def _fork(name, number_of_events):
    child = os.fork()
    if child == 0:
        try:
            publish(name, number_of_events)
        except BaseException:  # noqa: BLE001 - the child ends here
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    globals()[job](*(int(each) if each.isdigit() else each for each in arguments))
