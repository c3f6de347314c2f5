"""Streams that survive their readers, for any program: a web server, a Celery task, a script."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from flask_sluice.journal.errors import UnknownStreamError
from flask_sluice.journal.owners import PerOwner
from flask_sluice.journal.producing.app_events import AppEvents
from flask_sluice.journal.producing.arguments import (
    check,
    checked_id,
    error_renderer,
    new_id,
    open_journal,
    refuse_flasks_context,
    render_default_error,
)
from flask_sluice.journal.producing.checked_values import (
    Owner,
    about_of,
    check_is_id,
    check_limits,
    check_seconds,
    owner_text,
)
from flask_sluice.journal.producing.generator_thread import KeptGenerator
from flask_sluice.journal.producing.kept_stream import KeptStream
from flask_sluice.journal.protocol import About, Follower, Limits
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.status import StreamStatus, just_begun, status_of
from flask_sluice.journal.turns import GreenletTurns
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.encode_items import ItemEncoder, StreamItem
from flask_sluice.stream.feeds.item_errors import check_items
from flask_sluice.stream.feeds.terminal_event import IsTerminal
from flask_sluice.stream.headers_and_errors import ErrorEvent, RenderError
from flask_sluice.stream.options import StreamOptions

if TYPE_CHECKING:
    from flask_sluice.journal.producing.generation import AnswerReader
    from flask_sluice.stream.feeds.feed import Feed

__all__ = ["Owner", "Streams", "new_id"]

_DEFAULTS = Limits()


class Streams:
    """Keeps streams: in this process's memory, or in Redis, where every process with the same URL has them.

    Needs neither Flask nor gevent. It may be used by several threads, and be made before a fork.

    url: of a server, of sentinels or of a cluster; docs/configuration.md has all forms. None: memory
    credentials: a redis.credentials.CredentialProvider, or another object with its ``get_credentials()``, for a password or a
        token that changes; it is asked when a connection is made, and every minute
    history_bytes: how much of one stream is kept; beyond it, its oldest events are dropped
    history_seconds: how long it is kept after its end
    abandon_seconds: without readers for so long, it is stopped; 0: never
    total_history_bytes: of all streams that this process produces
    streams_per_owner: how many streams of one owner may run in this process; None: any number

    Raises ValueError for a URL that cannot be read and for a wrong limit, TypeError for credentials that are none, ImportError
    where redis-py is missing.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        credentials: RedisCredentials | None = None,
        history_bytes: int = _DEFAULTS.history_bytes,
        history_seconds: float = _DEFAULTS.history_seconds,
        abandon_seconds: float = _DEFAULTS.abandon_seconds,
        total_history_bytes: int = _DEFAULTS.total_history_bytes,
        streams_per_owner: int | None = None,
    ) -> None:
        limits = Limits(
            history_bytes=history_bytes,
            history_seconds=history_seconds,
            abandon_seconds=abandon_seconds,
            total_history_bytes=total_history_bytes,
        )
        check_limits(limits, streams_per_owner)
        self._history_bytes = history_bytes
        self.journal = open_journal(url, limits, credentials)
        self._running = PerOwner(streams_per_owner, "streams of yours are running")

    @staticmethod
    def new_id() -> str:
        """Return an id for a stream that others are told of before it begins. It is impossible to guess."""
        return new_id()

    def create(
        self,
        *,
        owner: Owner = None,
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - the name that a stream's id has everywhere
        is_terminal: IsTerminal | None = None,
        error_event: ErrorEvent | None = None,
        context: StreamContext | None = None,
    ) -> KeptStream:
        """Begin a stream, and return it for the program to publish its events; see ``KeptStream``.

        owner: whose stream it is; readers who name another do not find it
        key: a name by which ``find`` returns its newest stream, such as "chat:7"
        id: from ``new_id``, where others were told of the stream before it began; None: a new one
        is_terminal: tells the event that completes the stream; None: ``event: done`` or ``data: [DONE]``
        error_event: makes the event with which a stream ends that fails; None: ``event: error`` with OpenAI's JSON
        context: None: a new one

        Raises ApiError: JournalUnavailableError where Redis does not answer, JournalFullError where there is no room, 429 where the
        owner has too many. ValueError for an id that can be guessed, or that a stream has.
        """
        check(is_terminal, error_event, context)
        return self._begin(
            new_id() if id is None else self._unused(id),
            about_of(owner, key),
            encoder=ItemEncoder(is_published=True),
            events=AppEvents(is_terminal, self._history_bytes),
            context=self.context_for(context),
            render_error=error_renderer(error_event),
        )

    def start(
        self,
        items: Iterable[StreamItem],
        *,
        owner: Owner = None,
        key: str | None = None,
        deadline: float | None = None,
        is_terminal: IsTerminal | None = None,
        error_event: ErrorEvent | None = None,
        interrupt: bool = True,
        context: StreamContext | None = None,
    ) -> StreamStatus:
        """Run a generator in the background and keep what it yields, whether or not anybody reads it.

        The generator runs with the context variables of the caller, without Flask's contexts. It is ended like one of
        ``sse_response``, when the stream is stopped or has had no readers for ``abandon_seconds``.

        items: yields what ``sse_response`` takes
        deadline: seconds after which the stream ends with an error event; None: never
        interrupt: see ``sse_response``
        owner, key, is_terminal, error_event, context: see ``create``

        Raises what ``create`` raises, TypeError for something that yields no events or has Flask's context.
        """
        check(is_terminal, error_event, context, interrupt=interrupt)
        check_items(items, "start")
        refuse_flasks_context(items)
        context, deadline = self.context_for(context), self.deadline_for(deadline)
        if isinstance(self.journal.turns, GreenletTurns):
            # Not above: this package can be imported where gevent is not installed.
            from flask_sluice.stream.feeds.event_queue import EventQueue  # noqa: PLC0415
            from flask_sluice.stream.feeds.generator_feed import GeneratorFeed  # noqa: PLC0415

            options = StreamOptions(keepalive_seconds=0, deadline_seconds=deadline)
            # The memory's readers get what comes together with one send. Redis is written to in batches anyway.
            queue = EventQueue(options.channel_size, forwards_at_once=self.journal.is_shared)
            feed = GeneratorFeed(items, context, queue, ItemEncoder(), interrupt=interrupt)
            return self.generate(
                feed,
                context,
                options,
                AppEvents(is_terminal, self._history_bytes),
                render_error=error_renderer(error_event),
                owner=owner,
                key=key,
                hears_stop=True,
            )
        generator = KeptGenerator(items, context, deadline)
        stream = self._begin(
            new_id(),
            about_of(owner, key),
            encoder=ItemEncoder(),
            events=AppEvents(is_terminal, self._history_bytes),
            context=context,
            render_error=error_renderer(error_event),
            ends_at_stop=True,
        )
        generator.start(stream, self.journal.turns)
        return just_begun(stream.id)

    def context_for(self, context: StreamContext | None) -> StreamContext:
        """Return the context of a stream that begins: the given one, or else a new one."""
        return context or StreamContext()

    def deadline_for(self, deadline: float | None) -> float | None:
        """Return the seconds that a generator may take: those given, or else the default."""
        if deadline is not None:
            check_seconds("deadline", deadline)
        return deadline

    def _begin(
        self,
        stream_id: str,
        about: About,
        *,
        encoder: ItemEncoder,
        events: AppEvents,
        context: StreamContext,
        render_error: RenderError,
        ends_at_stop: bool = False,
    ) -> KeptStream:
        stream = KeptStream(
            self.journal,
            stream_id,
            encoder=encoder,
            events=events,
            context=context,
            render_error=render_error,
            on_end=self._count(about),
            ends_at_stop=ends_at_stop,
        )
        with self._uncounted_on_failure(about):
            stream.begin(about)
        return stream

    def generate(
        self,
        feed: "Feed",
        context: StreamContext,
        options: StreamOptions,
        answer: "AnswerReader",
        *,
        render_error: RenderError = render_default_error,
        owner: Owner = None,
        key: str | None = None,
        hears_stop: bool = False,
        stream_id: str | None = None,
    ) -> StreamStatus:
        """Keep what a feed gives: see ``Generation``. On gevent only. Raises what ``create`` raises."""
        from flask_sluice.journal.producing.generation import Generation  # noqa: PLC0415

        # Clients of the gateway may have no name.
        stream_id, about = stream_id or new_id(), about_of(owner or None, key)
        with ExitStack() as on_failure:
            on_failure.callback(feed.stop)
            generation = Generation(
                feed,
                context,
                options,
                answer,
                render_error=render_error,
                on_end=self._count(about),
                hears_stop=hears_stop,
            )
            with self._uncounted_on_failure(about):
                generation.start(self.journal, stream_id, about)
            on_failure.pop_all()
        return just_begun(stream_id)

    def stop(self, stream_id: str, *, owner: Owner = None) -> None:
        """Ask the program that produces a stream to stop, wherever it runs. Does nothing to a finished stream.

        owner: whose stream it has to be; None: anyone's

        Raises UnknownStreamError, a 404, also where the owner is another; JournalUnavailableError.
        """
        self._check_owner(stream_id, owner)
        self.journal.stop(stream_id)

    def status(self, stream_id: str, *, owner: Owner = None) -> StreamStatus:
        """Return how a stream is doing. Raises what ``stop`` raises."""
        check_is_id(stream_id)
        name = owner_text(owner)
        description = self.journal.describe(stream_id)
        if not description.belongs_to(name):
            raise UnknownStreamError
        return status_of(stream_id, description)

    def find(self, *, key: str, owner: Owner = None) -> StreamStatus | None:
        """Return the newest stream of a key: its running or last one. None if there is none.

        owner: whose streams count; None: all

        Raises JournalUnavailableError.
        """
        names = about_of(owner, key).names
        stream_id = self.journal.find(names[-1]) if names else None
        if stream_id is None:
            return None
        try:
            return self.status(stream_id, owner=owner)
        except UnknownStreamError:
            return None

    def follow(
        self, stream_id: str, after: int, wake: Callable[[], None], *, owner: Owner = None
    ) -> Follower:
        """Read a stream from the event after number ``after`` on; see ``Journal.follow``, which raises the same."""
        self._check_owner(stream_id, owner)
        return self.journal.follow(stream_id, after, wake)

    def close(self) -> None:
        """Release everything; what is not stored yet gets a second or two."""
        self.journal.close()

    def _unused(self, stream_id: str) -> str:
        try:
            self.journal.describe(checked_id(stream_id))
        except UnknownStreamError:
            return stream_id
        raise ValueError(
            f"a stream has the id {stream_id!r} already: take a new one for each, also where a task is run again"
        )

    def _check_owner(self, stream_id: str, owner: Owner) -> None:
        check_is_id(stream_id)
        name = owner_text(owner)
        if name is not None and not self.journal.describe(stream_id).belongs_to(name):
            raise UnknownStreamError

    def _count(self, about: About) -> Callable[[], None]:
        """Count a stream of its owner. Returns what counts it no more. Raises ApiError 429."""
        with self.journal.turns:
            self._running.add(about.owner)
        return partial(self._running.remove, about.owner)

    @contextmanager
    def _uncounted_on_failure(self, about: About) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with self.journal.turns:
                self._running.remove(about.owner)
            raise
