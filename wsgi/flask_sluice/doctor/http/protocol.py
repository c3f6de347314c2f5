"""What a version of HTTP does with bytes. It does no input or output."""

from typing import Protocol as _Interface


class Protocol(_Interface):
    """Turns one request into bytes, and bytes into a Recording."""

    def opening_bytes(self) -> bytes:
        """The bytes that send the request."""

    def take(self, data: bytes, seconds: float) -> bytes:
        """Add to the recording what the bytes say; return what is to be sent in answer to them."""

    def take_end(self, seconds: float, detail: str) -> None:
        """Tell that the peer has closed the connection."""
