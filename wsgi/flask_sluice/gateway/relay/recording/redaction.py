"""Takes secrets out of what is recorded: by the names they stand under, by their shape, and those that are known."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus

from flask_sluice.observe.hidden_secrets import HIDDEN, hide_secrets_in_target

_KEPT_HEADERS = frozenset(
    {
        *("accept", "content-type", "content-encoding", "content-language", "content-disposition"),
        *("user-agent", "anthropic-version", "anthropic-beta", "openai-beta", "openai-version"),
        *("openai-processing-ms", "retry-after", "retry-after-ms", "x-should-retry"),
        *("request-id", "x-request-id", "apim-request-id", "ratelimit"),
    }
)
"""A list of what is kept, since a client may put a secret into any other header."""
_PLAIN_HEADERS = frozenset({"host", "origin", "referer", "accept-encoding", "traceparent"})
"""Their values may stand in a body for other reasons."""
_KEPT_PREFIXES = ("x-ratelimit-", "ratelimit-", "anthropic-ratelimit-")
_MIN_SECRET_CHARACTERS = 6
"""A shorter value would be found in words that have nothing to do with it."""

_SECRET_HEADER = re.compile(
    r"(?i)auth|cookie|credential|jwt|key|pass|secret|session|sig|ticket|token"
)
_NAMES_OF_HIDDEN = (
    r"(?:[\w-]{0,40}(?:api|access|secret|private|signing|subscription)[_-]?key"
    r"|[\w-]{0,40}(?:password|passwd|passphrase|secret|credentials?|cookie|signature|authorization)"
    r"|[\w-]{0,40}(?:access|auth|bearer|refresh|session|id|api|security|ephemeral)[_-]?token"
    r"|token|ticket|jwt|bearer)"
)
_NAME_OF_HIDDEN = re.compile(_NAMES_OF_HIDDEN, re.IGNORECASE)
# In a text that holds JSON, with its quotes escaped as often as that is nested.
_SECRET_FIELD = re.compile(
    rf'(?<!\\)(?P<quote>\\{{0,15}}")(?P<name>{_NAMES_OF_HIDDEN})(?P=quote)(?P<colon>\s*:\s*)'
    r"(?P=quote)(?P<value>(?:(?!(?P=quote)).)*)(?P=quote)",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"(?i:\bBearer\s+)[\w.~+/=-]{8,}"
    r"|\b(?:sk|rk|pk|ek|gsk|hf|xai|pplx|r8|tgp|nvapi|ghp|gho|github_pat)[-_][\w-]{12,}"
    r"|\bAIza[\w-]{20,}|\bAKIA[A-Z0-9]{12,}|\bAQ\.[\w-]{16,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    # A key of which a server's refusal shows the ends.
    r"|(?<![\w-])[\w-]{2,60}\*{4,}[\w-]*"
    r"|\b(?:sk|rk|pk)-[\w-]*(?:\.\.\.|…)[\w-]*"
    r"|(?<=://)[^/\s?#@\"\\]{1,200}(?=@)"
)
_USER = re.compile(r"(?<=://)(?:[^/\s?#@:]{1,200}:)?(?P<value>[^/\s?#@]{1,200})(?=@)")
_MARKS = (
    *(
        "bearer",
        "sk-",
        "sk_",
        "rk-",
        "rk_",
        "pk-",
        "pk_",
        "ek-",
        "ek_",
        "hf-",
        "hf_",
        "xai",
        "pplx",
    ),
    *("r8-", "r8_", "tgp", "nvapi", "ghp", "gho", "github_pat", "aiza", "akia", "aq.", "eyj"),
    *("****", "://"),
)
"""Each of the shapes has one, in lower case: to look for them takes a tenth of the time."""
_SLICE_CHARACTERS = 8192
"""Others have their turn behind so many: to search a text holds up all threads."""
_BOUNDARY = re.compile(r"[\s\"',;]")
_WORDS = (
    *("key", "passw", "passphrase", "secret", "credential", "cookie", "signature"),
    *("authorization", "token", "ticket", "jwt", "bearer", "headers", "\\u00"),
)
"""Every name of a secret has one, unless it is written with escapes."""


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are recorded, with names in lower case."""
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in _KEPT_HEADERS or name.lower().startswith(_KEPT_PREFIXES)
    }


class Redactor:
    """Hides the secrets of one exchange.

    secrets: those that are known, wherever they stand: also in quotes of JSON, and in URLs
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these, too, from now on."""
        forms = set(self._secrets)
        for secret in secrets:
            if len(secret) >= _MIN_SECRET_CHARACTERS:
                forms |= {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}
        forms.discard(HIDDEN)
        self._secrets = sorted(forms, key=len, reverse=True)

    def learn_from(self, value: Any) -> None:
        """Hide from now on what stands under names of secrets in this value of JSON, also in other places."""
        self.learn(_hidden_texts(value, are_hidden=False))

    def target(self, target: str) -> str:
        """Return a path with its query."""
        return self._known(hide_secrets_in_target(target))

    def text(self, text: str) -> str:
        """Return a text that may hold JSON."""
        if '"' in text and _has(text, _WORDS):
            text = _SECRET_FIELD.sub(_hide_field, text)
        return self._known(text)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {name: self.text(value) for name, value in kept_headers(headers).items()}

    def value(self, value: Any, *, are_names_free: bool = False) -> Any:
        """Return a value of JSON.

        are_names_free: whether its names are those of a schema's properties, which are not values
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if not isinstance(value, dict):
            return value
        hidden = {}
        for name, each in value.items():
            is_secret = not are_names_free and _is_secret(name, each, value)
            hidden[self._known(name)] = (
                _hide_values(each)
                if is_secret
                else self.value(each, are_names_free=name == "properties")
            )
        return hidden

    def events(self, text: str) -> str:
        """Return whole events; those whose JSON has names of secrets are written anew."""
        if _has(text, _WORDS):
            text = "".join(map(self._line, text.splitlines(keepends=True)))
        return self._known(text)

    def _line(self, line: str) -> str:
        field, colon, data = line.partition(":")
        try:
            given = json.loads(data)
        except (ValueError, RecursionError):
            return self.text(line)
        value = self.value(given)
        if value == given:
            return line
        end = line[len(line.rstrip("\r\n")) :]
        return f"{field}{colon} {as_json(value)}{end}"

    def _known(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if not _has(text, _MARKS):
            return text
        return "".join(_SHAPES.sub(HIDDEN, part) for part in _slices(text))


def _has(text: str, words: tuple[str, ...]) -> bool:
    text = text.lower()
    return any(word in text for word in words)


def _slices(text: str) -> Iterator[str]:
    """Divide a text, where it can be between words."""
    begin = 0
    while len(text) - begin > _SLICE_CHARACTERS:
        boundary = _BOUNDARY.search(text, begin + _SLICE_CHARACTERS)
        end = boundary.start() if boundary else len(text)
        end = min(end, begin + 2 * _SLICE_CHARACTERS)
        yield text[begin:end]
        begin = end
    yield text[begin:]


def secrets_of(headers: Mapping[str, str], target: str) -> list[str]:
    """Return the values in a request that may be secret: of the headers that are not kept, and of hidden parameters."""
    secrets = []
    for name, value in headers.items():
        if name.lower() in kept_headers(headers):
            continue
        is_plain = name.lower() in _PLAIN_HEADERS
        if _SECRET_HEADER.search(name) or (_looks_random(value) and not is_plain):
            secrets += [value, *value.split()[1:]]
        if name.lower() == "cookie":
            secrets += [each.partition("=")[2] for each in value.split("; ")]
    for parameter in re.split("[&;]", target.partition("?")[2]):
        if hide_secrets_in_target(f"?{parameter}") != f"?{parameter}":
            secret = parameter.partition("=")[2]
            secrets += [secret, unquote_plus(secret)]
    return secrets


def _looks_random(value: str) -> bool:
    """Whether a header that is not known may hold a key: other values, such as ``python``, are words of many texts."""
    return re.fullmatch(r"(?=.*\d)\S{16,}", value) is not None


def as_json(value: Any) -> str:
    """Return a value in one line, readable where UTF-8 can hold it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # UTF-8 has no halves of surrogate pairs, which JSON may hold.
    return text if _is_unicode(text) else json.dumps(value, separators=(",", ":"))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_secret(name: str, value: Any, fields: dict[str, Any]) -> bool:
    if value is None or isinstance(value, bool):
        return False
    if name.lower() == "headers" and isinstance(value, dict):
        return True  # Those that a server of tools is to be sent.
    # A token of the answer, and not of a login.
    if name == "token" and ("logprob" in fields or "bytes" in fields):
        return False
    return _NAME_OF_HIDDEN.fullmatch(name) is not None


def _hide_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hide_values(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_hide_values(each) for each in value]
    return HIDDEN


def _hidden_texts(value: Any, *, are_hidden: bool, are_names_free: bool = False) -> Iterator[str]:
    """Yield what ``Redactor.value`` hides for the name that it has."""
    if isinstance(value, str):
        if are_hidden:
            yield from (value, value.rpartition(" ")[2])
        else:
            yield from (match["value"] for match in _secret_fields(value))
    elif isinstance(value, list):
        for each in value:
            yield from _hidden_texts(each, are_hidden=are_hidden)
    elif isinstance(value, dict):
        for name, each in value.items():
            is_secret = not are_names_free and _is_secret(name, each, value)
            yield from _hidden_texts(
                each, are_hidden=are_hidden or is_secret, are_names_free=name == "properties"
            )


def _secret_fields(text: str) -> Iterator[re.Match[str]]:
    if '"' in text and _has(text, _WORDS):
        yield from _SECRET_FIELD.finditer(text)
    yield from _USER.finditer(text) if "://" in text else ()


def _hide_field(match: re.Match[str]) -> str:
    quote_, name, colon = match["quote"], match["name"], match["colon"]
    return f"{quote_}{name}{quote_}{colon}{quote_}{HIDDEN}{quote_}"
