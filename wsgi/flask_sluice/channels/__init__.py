"""Channels: many publishers send events to many readers, in one process or, over Redis, in several.

The way of an event: ``Channels.publish`` gives it to the store. In memory, that appends it to the channel's window. In Redis,
a script adds it to a Redis Stream and publishes it in the same step; each process that has readers of the channel hears it in its
one ``Subscription``, and appends it to its own window. Redis's pub/sub loses messages, so each names the one before it, and what
is missing is read from the Redis Stream. A ``ChannelFollower`` takes the event from the window for a reader; a
``MergedFollower`` does for a reader of several channels.
"""

from flask_sluice.channels.channels import Channels
from flask_sluice.channels.ids import InvalidChannelIdError
from flask_sluice.channels.presence import Presence

__all__ = ["Channels", "InvalidChannelIdError", "Presence"]
