"""The paths of relayed requests, as they came, and Azure's."""

import re
from urllib.parse import unquote

from flask import Request

from flask_sluice.stream.errors import ApiError

# A segment of dots, also before parameters (RFC 3986, section 3.3), or a control character.
_AMBIGUOUS = re.compile(r"[/\\]\.\.?([/\\;]|$)|[\x00-\x1f\x7f]")
# The routes of a deployment that are known may have a deployment's name with a slash before them.
_DEPLOYMENT = re.compile(
    r"deployments/(?P<name>.+?)(?P<path>/(?:chat/completions|completions|embeddings|responses"
    r"|audio/(?:transcriptions|translations|speech)|images/(?:generations|edits)))"
    r"|deployments/(?P<other_name>[^/]+)(?P<other_path>/.+)"
)


def path_below(base: str, request: Request) -> str:
    """Return the path and query below ``base`` as they came, with their percent-encoding.

    Raises ApiError for a path with the segment ``.`` or ``..``, which could lead out of the upstream's URL, and for one
    with a fragment or control characters, which servers understand in different ways.
    """
    target: str = request.environ["RAW_URI"]
    if not target.startswith("/"):
        # The absolute form (RFC 9112, section 3.2.2): the host that it names is ignored.
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, mark, query = target.partition("?")
    prefix = f"{request.script_root}{base}/"
    if not path.startswith(prefix) or "#" in target or _is_ambiguous(path):
        raise ApiError(404, "not_found", f"there is no {request.path} here")
    return "/" + path.removeprefix(prefix) + mark + query


def without_deployment(path: str) -> tuple[str, str | None]:
    """Return the path of OpenAI's API that a path below Azure's /openai stands for, and the deployment that it names."""
    match = _DEPLOYMENT.fullmatch(path.removeprefix("/"))
    if match is None:
        return path.removeprefix("/v1") if path.startswith("/v1/") else path, None
    return (
        match["path"] or match["other_path"],
        unquote(match["name"] or match["other_name"]),
    )


def _is_ambiguous(path: str) -> bool:
    if not ("." in path or "%" in path):
        return False
    return _AMBIGUOUS.search(unquote(path)) is not None
