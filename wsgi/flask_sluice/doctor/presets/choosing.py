"""Chooses the preset by the options, and by what the server says."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.options import Options
from flask_sluice.doctor.presets.anthropic import AnthropicPreset, with_version
from flask_sluice.doctor.presets.mcp import open_mcp
from flask_sluice.doctor.presets.openai import OpenAIPreset, ResponsesPreset
from flask_sluice.doctor.presets.preset import Preset

Ask = Callable[[HttpRequest], Recording]

_RESPONSES_PATH = "/responses"
_OPENAI_PATHS = ("/chat/completions", "/completions", _RESPONSES_PATH)
_MESSAGES_PATH = "/messages"
_MCP_PATH = "/mcp"
_VERSION = re.compile(r"v[0-9]+(beta[0-9]*)?")


def choose_preset(options: Options, ask: Ask) -> Preset:
    """Return the preset that the options name, or else the one that the URL and the server suggest.

    ask: sends a request and returns the answer; used for the list of models, which costs nothing
    """
    method = "GET" if options.post is None else "POST"
    target = HttpRequest(options.url, method, options.headers, options.post)
    name = options.preset if options.preset != "auto" else _guess(target)
    if name == "anthropic":
        return _anthropic(target, options.model, ask)
    if name == "mcp":
        return open_mcp(target, ask)
    if name == "openai":
        return _openai(target, options.model, ask)
    if options.preset == "auto" and options.post is None and _is_base(target):
        return _by_models(target, options.model, ask)
    return Preset(target)


def _guess(target: HttpRequest) -> str:
    path = target.parts.path.rstrip("/")
    if path.endswith(_MESSAGES_PATH):
        # A chat's own stream of messages is likely to be named so, too: a GET is no question to a model.
        is_api = path.endswith(f"/v1{_MESSAGES_PATH}") or target.body is not None
        return "anthropic" if is_api else "eventsource"
    if path.endswith(_OPENAI_PATHS):
        return "openai"
    if path.endswith(_MCP_PATH):
        return "mcp"
    return "eventsource"


def _is_base(target: HttpRequest) -> bool:
    """Whether the URL names a server and not a stream."""
    return target.parts.path.rstrip("/") in ("", "/v1")


def _by_models(target: HttpRequest, model: str | None, ask: Ask) -> Preset:
    """The API whose models the server lists; a stream of any kind if it lists none."""
    models = _models(target, ask)
    if not models:
        return Preset(target)
    model = model or str(models[0]["id"])
    if models[0].get("type") == "model":
        return _anthropic(target, model, ask)
    return _openai(target, model, ask)


def _openai(target: HttpRequest, model: str | None, ask: Ask) -> OpenAIPreset:
    if not target.parts.path.rstrip("/").endswith(_OPENAI_PATHS):
        target = _with_path(target, _base(target) + _OPENAI_PATHS[0])
    is_responses = target.parts.path.rstrip("/").endswith(_RESPONSES_PATH)
    kind = ResponsesPreset if is_responses else OpenAIPreset
    return kind(target, _model(target, model, ask))


def _anthropic(target: HttpRequest, model: str | None, ask: Ask) -> AnthropicPreset:
    if not target.parts.path.rstrip("/").endswith(_MESSAGES_PATH):
        target = _with_path(target, _base(target) + _MESSAGES_PATH)
    return AnthropicPreset(target, _model(with_version(target), model, ask))


def _model(target: HttpRequest, model: str | None, ask: Ask) -> str:
    """The model to ask: the user's, else the first that the server lists; "" where the body says it."""
    if model or target.body is not None:
        return model or ""
    models = _models(target, ask)
    return str(models[0]["id"]) if models else ""


def _base(target: HttpRequest) -> str:
    """The path before the API's own part, which ends with /v1 unless the user says another version."""
    path = target.parts.path.rstrip("/")
    ends = (*_OPENAI_PATHS, _MESSAGES_PATH)
    known = next((path.removesuffix(end) for end in ends if path.endswith(end)), None)
    if known is not None:
        return known
    return path if _VERSION.fullmatch(path.rpartition("/")[2]) else f"{path}/v1"


def _with_path(target: HttpRequest, path: str) -> HttpRequest:
    return replace(target, url=target.parts._replace(path=path).geturl())


def _models(target: HttpRequest, ask: Ask) -> list[dict[str, Any]]:
    """The models that the server lists; none if its answer is not a list of models."""
    listing = replace(_with_path(target, f"{_base(target)}/models"), method="GET", body=None)
    answer = ask(listing)
    try:
        models = json.loads(answer.body)["data"] if answer.is_success else []
    except (ValueError, KeyError, TypeError):
        return []
    if not isinstance(models, list):
        return []
    return [model for model in models if isinstance(model, dict) and model.get("id")]
