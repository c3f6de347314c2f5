"""Publishes to channels from a process of its own, as often as the readers of ``costing_app`` want.

Run: python -m tests.system.channel_publisher REDIS_URL CHANNELS
"""

import itertools
import sys
import time

from flask_sluice import Channels
from tests.system.costing_app import DATA, EVENTS_PER_SECOND, sleep_until

if __name__ == "__main__":
    url, count = sys.argv[1], int(sys.argv[2])
    channels = Channels(url)
    started_at = time.monotonic()
    for number in itertools.count():
        sleep_until(started_at + number / count / EVENTS_PER_SECOND)
        channels.publish(f"channel-{number % count}", DATA)
