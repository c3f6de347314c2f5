"""What workers say to each other in their inboxes."""

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder


class ToldEvent(Struct, array_like=True, gc=False):
    """An event that Redis has.

    event: with its id
    """

    stream_id: str
    number: int
    event: bytes
    is_terminal: bool


class Told(Struct, array_like=True, gc=False):
    """What a producer tells a worker that follows streams of it.

    positions: the id of a stream, and the number up to which Redis has it: the events after that are told from now on.
        NOT_PRODUCED if the producer does not produce it, or not any more
    """

    positions: list[tuple[str, int]]
    events: list[ToldEvent]


class Following(Struct, array_like=True, gc=False):
    """Which streams a worker follows: sent to their producer when it begins to, and all of them again and again.

    number: grows with each message of this worker, since they may arrive in another order
    is_all: whether it follows no others of this producer
    """

    worker_id: str
    number: int
    stream_ids: list[str]
    is_all: bool


NOT_PRODUCED = -1

encode = Encoder().encode
decode_told = Decoder(Told).decode
decode_following = Decoder(Following).decode
