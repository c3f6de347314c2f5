"""``Sluice``, the Flask extension."""

from dataclasses import dataclass

from flask import Flask, Response, current_app
from werkzeug.exceptions import HTTPException

from flask_sluice.extension.channels import AppChannels
from flask_sluice.extension.config import credentials_for, read_config
from flask_sluice.extension.streams import AppStreams
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.responses import http_exception

_NAME = "sluice"


@dataclass(frozen=True)
class _State:
    """What an app has of the extension."""

    streams: AppStreams
    channels: AppChannels


class Sluice:
    """The streams and channels of Flask apps: ``Sluice(app)``, or ``Sluice()`` and ``init_app`` for each app.

    The app's config says where they are kept and how much of them, in names such as ``SLUICE_REDIS_URL``; docs/kept-streams.md
    lists them.

    app: None: given to ``init_app`` later
    redis_credentials: see ``Streams``; for all apps that name no others
    """

    def __init__(
        self, app: Flask | None = None, *, redis_credentials: RedisCredentials | None = None
    ) -> None:
        self._app: Flask | None = None
        self._redis_credentials = redis_credentials
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, *, redis_credentials: RedisCredentials | None = None) -> None:
        """Prepare an app. Nothing connects before it is used, so that workers may be forked afterwards.

        The app answers an ``ApiError`` that a view raises with its status, by the app's own error handlers or in JSON.

        redis_credentials: see ``Streams``; None: those of the constructor

        Raises ValueError for a setting with a bad value, TypeError for credentials that are none.
        """
        if redis_credentials is None:
            redis_credentials = self._redis_credentials
        config = read_config(app.config)
        credentials = credentials_for(config, redis_credentials)
        try:
            state = _State(
                AppStreams(config, app.config, credentials), AppChannels(app, config, credentials)
            )
        except ValueError as error:
            raise ValueError(f"SLUICE_REDIS_URL: {error}") from None
        app.extensions[_NAME] = state
        app.register_error_handler(ApiError, _answer)
        self._app = app

    @property
    def streams(self) -> AppStreams:
        """The kept streams of the current app; outside of an app's context, of the app that was prepared last."""
        return self._state.streams

    @property
    def channels(self) -> AppChannels:
        """The channels of the current app; see ``streams``."""
        return self._state.channels

    @property
    def _state(self) -> _State:
        app = current_app or self._app
        if app is None:
            raise RuntimeError("no app is prepared: call Sluice(app), or sluice.init_app(app)")
        state = app.extensions.get(_NAME)
        if not isinstance(state, _State):
            raise RuntimeError(
                f"the app {app.name!r} is not prepared: call sluice.init_app(app) when it is made"
            )
        return state


def _answer(error: ApiError) -> Response | HTTPException:
    """Return what the app makes of an HTTP error of this status."""
    answer: Response | HTTPException = current_app.handle_http_exception(http_exception(error))  # type: ignore[assignment]
    return answer
