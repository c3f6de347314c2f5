"""What Redis sends in a connection that is subscribed: bytes in, messages out."""

from redis.exceptions import InvalidResponse, ResponseError

Message = list[bytes]
"""``message``, the topic and the payload; or a confirmation, such as ``subscribe``, the topic and b""."""

_USUAL = b"*3\r\n$7\r\nmessage\r\n$"

_ARRAY, _BULK, _INTEGER, _ERROR = b"*$:-"


class MessageParser:
    """Parses RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/), as far as pub/sub uses it."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes, and return the messages that they complete.

        Raises ResponseError for an error that Redis sends, InvalidResponse for what is not RESP2.
        """
        buffer = self._held + data if self._held else data
        messages: list[Message] = []
        place = 0
        while place < len(buffer):
            message, end = _message_at(buffer, place)
            if message is None:
                break
            messages.append(message)
            place = end
        self._held = buffer[place:]
        return messages


def _message_at(buffer: bytes, place: int) -> tuple[Message | None, int]:
    """Return the message that begins here, and where it ends; None if it is not complete."""
    # Nearly every one: a third of the time that it takes below.
    if buffer.startswith(_USUAL, place):
        line_end = buffer.find(b"\r\n", place + len(_USUAL))
        if line_end > 0:
            topic_at = line_end + 2
            topic_end = topic_at + int(buffer[place + len(_USUAL) : line_end])
            line_end = buffer.find(b"\r\n", topic_end + 3)
            if line_end > 0:
                payload_at = line_end + 2
                end = payload_at + int(buffer[topic_end + 3 : line_end])
                if len(buffer) >= end + 2:
                    topic = buffer[topic_at:topic_end]
                    return [b"message", topic, buffer[payload_at:end]], end + 2
        return None, place
    line_end = buffer.find(b"\r\n", place)
    if line_end < 0:
        return None, place
    line = buffer[place + 1 : line_end]
    if buffer[place] == _ERROR:
        raise ResponseError(line.decode("utf-8", "replace"))
    if buffer[place] != _ARRAY:
        raise InvalidResponse("Redis sends what is not a message")
    message: Message = []
    place = line_end + 2
    for _ in range(int(line)):
        line_end = buffer.find(b"\r\n", place)
        if line_end < 0:
            return None, place
        kind = buffer[place]
        length = int(buffer[place + 1 : line_end]) if kind == _BULK else -1
        place = line_end + 2
        if length < 0:
            # A number, or nothing.
            message.append(b"")
            continue
        if len(buffer) < place + length + 2:
            return None, place
        message.append(buffer[place : place + length])
        place += length + 2
    return message, place
