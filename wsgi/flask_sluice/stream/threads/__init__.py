"""A stream on a server whose requests have threads of their own, or one at a time: the standard library alone.

It is kept apart from the streams of gevent, which cost a hundredth of a thread, and promises less: docs/servers.md says what.
"""
