"""Waiting on gevent's event loop: signals, timers, work without a greenlet of its own.

A method or function whose name begins with ``on_`` or ``_on_`` runs on the event loop, and must not block.
"""
