"""Logs in to Redis with credentials that may change, and again before they expire.

Tokens live for 15 minutes and longer. ElastiCache closes a connection 12 hours after its last AUTH, Azure's Redis when the token
of its last AUTH expires; and their libraries hand out a new token when the old one has four to five minutes left. A minute
between two looks at the credentials is early enough for all, and rare enough for what asks a service each time.

Redis-py's ``StreamingCredentialProvider`` can call back when it has a new token. It is asked like the others: it has room for one
callback, which may belong to another client.
"""

import logging
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from redis.exceptions import RedisError

from flask_sluice.journal.redis.servers.credentials import NoCredentialsError, RedisCredentials
from flask_sluice.journal.turns import Flag, Turns, turns_of_process

logger = logging.getLogger("sluice.journal")

_RENEWAL_SECONDS = 60.0
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 1.0
"""Between looks for an answer that is awaited in the background."""
_RETRY_SECONDS = 10.0
"""Between questions in the background, while they fail."""
_SUBSCRIPTION_SECONDS = 180.0
"""A subscription cannot log in again, so it is made anew, and not each minute: some tokens are others at every question."""


Words: TypeAlias = tuple[str | bytes, ...]
"""Arguments of AUTH."""


class LoginError(RedisError):
    """There is nothing to log in with. The message is for operators."""


@dataclass(frozen=True)
class _Answer:
    """What the credentials are, and when that was said, in monotonic seconds."""

    words: Words
    at: float


class _Question:
    """One call of ``get_credentials()``, in the background, for all that wait for it."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._waiting: list[Flag] = []
        self.is_over = False
        self.answer: _Answer | None = None
        self.failure = f"get_credentials() has not returned for {_ANSWER_SECONDS:g} s"

    def end(self) -> None:
        self.is_over = True
        for flag in tuple(self._waiting):
            flag.set()

    def wait(self) -> None:
        flag = self._turns.new_flag()
        self._waiting.append(flag)
        # A flag that comes too late for the end sees that it is over.
        if not self.is_over:
            flag.wait(_ANSWER_SECONDS)


class Logins:
    """Asks the credentials for all connections of a client, one question at a time.

    username: that of the URL, for credentials that are only a password
    """

    def __init__(self, credentials: RedisCredentials, username: str) -> None:
        self._credentials = credentials
        self._username = username
        self._turns = turns_of_process()
        self._lock = threading.Lock()
        self._question: _Question | None = None
        self._answer: _Answer | None = None
        self._is_failing = False
        self._ask_again_at = 0.0

    def new_login(self) -> "Login":
        return Login(self)

    def ask(self) -> _Answer:
        """Return what the credentials are now. It blocks. Raises LoginError."""
        question = self._ask()
        question.wait()
        if question.answer is None:
            raise LoginError(f"there are no credentials: {question.failure}")
        return question.answer

    def latest(self) -> _Answer | None:
        """Return what the credentials have been within the last minute; None if that is not known, and then ask in the background.

        It does not block.
        """
        now, answer = time.monotonic(), self._answer
        if answer is not None and now < answer.at + _RENEWAL_SECONDS:
            return answer
        if now >= self._ask_again_at:
            self._ask_again_at = now + _RETRY_SECONDS
            self._ask()
        return None

    def _ask(self) -> _Question:
        """Return the question that waits for its answer, or begin one."""
        with self._lock:
            question = self._question
            if question is not None and not question.is_over:
                return question
            question = _Question(self._turns)
            try:
                self._turns.start(partial(self._run, question))
            except RuntimeError as error:
                # The process ends, or may have no more threads.
                raise LoginError(str(error)) from None
            self._question = question
            return question

    def _run(self, question: _Question) -> None:
        try:
            words = _checked(self._credentials.get_credentials())
        except NoCredentialsError as error:
            self._has_failed(question, str(error), None)
        except Exception as error:  # noqa: BLE001 - it is logged, and told to what waits for a login
            self._has_failed(question, f"get_credentials() raised {type(error).__name__}", error)
        else:
            if len(words) == 1 and self._username:
                words = (self._username, *words)
            question.answer = self._answer = _Answer(words, time.monotonic())
            if self._is_failing:
                self._is_failing = False
                logger.info("there are credentials for Redis again")
        finally:
            question.end()

    def _has_failed(self, question: _Question, reason: str, error: Exception | None) -> None:
        question.failure = reason
        if not self._is_failing:
            self._is_failing = True
            logger.warning(
                "there are no credentials for Redis: %s; connections keep the login that they have",
                reason,
                exc_info=error,
            )


class Login:
    """The login of one connection: what redis-py asks when it connects, and what logs in again."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._words: Words = ()
        self._logged_in_at = 0.0
        self._look_at = 0.0

    def get_credentials(self) -> Words:
        """Return the arguments of AUTH. Redis-py calls this when it connects. Raises LoginError."""
        words = self._logins.ask().words
        self._logs_in(words)
        return words

    def renew(self, connection: Any) -> None:
        """Log in again if the credentials have changed, which is seen once a minute.

        connection: the one that this is the login of. It is connected if it is not, which is a login, too

        Raises what redis-py raises, such as for a login that Redis refuses.
        """
        if time.monotonic() < self._look_at:
            return
        connection.connect()
        now = time.monotonic()
        if now < self._look_at:
            return
        latest = self._logins.latest()
        if latest is None:
            self._look_at = now + _LOOK_SECONDS
        elif latest.words == self._words:
            self._look_at = now + _RENEWAL_SECONDS
        else:
            self._logs_in(latest.words)
            connection.send_command("AUTH", *latest.words)
            connection.read_response()

    def is_old(self) -> bool:
        """Return whether a connection that cannot log in again is to be made anew: its credentials have changed."""
        if time.monotonic() < self._logged_in_at + _SUBSCRIPTION_SECONDS:
            return False
        latest = self._logins.latest()
        return latest is not None and latest.words != self._words

    def _logs_in(self, words: Words) -> None:
        self._words = words
        self._logged_in_at = time.monotonic()
        self._look_at = self._logged_in_at + _RENEWAL_SECONDS


def login_of(connection: Any) -> Login | None:
    """Return the login of a connection of redis-py's; None if its credentials never change."""
    login = getattr(connection, "credential_provider", None)
    return login if isinstance(login, Login) else None


def has_old_login(connection: Any) -> bool:
    """Return whether a connection that cannot log in again, a subscription, is to be made anew. It does not block."""
    login = login_of(connection)
    return login is not None and login.is_old()


def _checked(given: object) -> Words:
    """Return the arguments of AUTH. Raises NoCredentialsError for what they cannot be."""
    words: Words = tuple(given) if isinstance(given, tuple | list) else ()
    if len(words) not in (1, 2) or not all(isinstance(word, str | bytes) for word in words):
        # What it returned may be the password.
        raise NoCredentialsError(
            f"get_credentials() returns (password,) or (user, password); got {_kind_of(given)}"
        )
    if not words[-1]:
        raise NoCredentialsError("get_credentials() returned an empty password")
    return words if words[0] else words[1:]


def _kind_of(given: object) -> str:
    kind = type(given).__name__
    return f"{kind} of {len(given)}" if isinstance(given, tuple | list) else kind
