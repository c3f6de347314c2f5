"""Chooses the preset by the options, and by what the server says."""

import json
from collections.abc import Callable
from dataclasses import replace

from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.options import Options
from flask_sluice.doctor.presets.anthropic import AnthropicPreset
from flask_sluice.doctor.presets.mcp import McpPreset
from flask_sluice.doctor.presets.openai import OpenAIPreset
from flask_sluice.doctor.presets.preset import Preset

Ask = Callable[[HttpRequest], Recording]

_OPENAI_PATHS = ("/chat/completions", "/completions", "/responses")
_CHAT_PATH = "/chat/completions"


def choose_preset(options: Options, ask: Ask) -> Preset:
    """Return the preset that the options name, or else the one that the URL and the server suggest.

    ask: sends a request and returns the answer; used for the list of models, which costs nothing
    """
    target = HttpRequest(
        options.url,
        "GET" if options.post is None else "POST",
        options.headers,
        options.post,
    )
    name = options.preset if options.preset != "auto" else _guess(target)
    if name == "anthropic":
        return AnthropicPreset(target, options.model or "")
    if name == "mcp":
        return McpPreset(target).opened(ask)
    if name == "openai":
        return _openai(target, options.model, ask)
    if options.preset == "auto" and options.post is None and _is_base(target):
        preset = _openai(target, options.model, ask)
        if preset.model:
            return preset
    return Preset(target)


def _guess(target: HttpRequest) -> str:
    path = target.parts.path.rstrip("/")
    if path.endswith("/messages"):
        return "anthropic"
    if path.endswith(_OPENAI_PATHS):
        return "openai"
    if path.endswith("/mcp"):
        return "mcp"
    return "eventsource"


def _is_base(target: HttpRequest) -> bool:
    """Whether the URL names a server and not a stream."""
    return target.parts.path.rstrip("/") in ("", "/v1")


def _openai(target: HttpRequest, model: str | None, ask: Ask) -> OpenAIPreset:
    path = target.parts.path.rstrip("/")
    base = next((path.removesuffix(end) for end in _OPENAI_PATHS if path.endswith(end)), None)
    if base is None:
        base = path if path.endswith("/v1") else f"{path}/v1"
        target = replace(target, url=_with_path(target, base + _CHAT_PATH))
    if model is None and target.body is None:
        listing = replace(target, url=_with_path(target, f"{base}/models"), method="GET", body=None)
        model = _first_model(ask(listing))
    return OpenAIPreset(target, model or "")


def _with_path(target: HttpRequest, path: str) -> str:
    return target.parts._replace(path=path).geturl()


def _first_model(listing: Recording) -> str:
    """The first model of the list; "" if the answer is not one."""
    try:
        models = json.loads(listing.body)["data"]
        return str(models[0]["id"]) if listing.is_success else ""
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
