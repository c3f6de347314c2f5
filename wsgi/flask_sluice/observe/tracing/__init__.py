"""What error trackers and tracing learn of a stream: one adapter for each library, used where the app has imported it."""
