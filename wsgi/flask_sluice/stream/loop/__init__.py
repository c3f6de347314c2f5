"""What touches the event loop: gevent is used here, in ``feeds`` and in ``transport``."""
