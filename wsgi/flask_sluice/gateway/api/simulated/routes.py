"""The routes of all APIs that the simulator speaks."""

from flask import Blueprint

from flask_sluice.extension.streams import AppStreams
from flask_sluice.gateway.api.simulated import chat, embeddings, gemini, messages, models, ollama
from flask_sluice.gateway.api.simulated.answering import Answering
from flask_sluice.gateway.api.simulated.responses import routes as responses
from flask_sluice.gateway.settings import Settings


def blueprint(answering: Answering, streams: AppStreams, settings: Settings) -> Blueprint:
    """Return the routes for a gateway without an upstream. streams: keeps the responses"""
    routes = Blueprint("simulated", __name__)
    chat.add(routes, answering)
    messages.add(routes, answering)
    responses.add(routes, answering, streams, settings)
    models.add(routes, settings)
    embeddings.add(routes, answering)
    ollama.add(routes, answering, settings)
    gemini.add(routes, answering, settings, settings.models or (models.DEFAULT_MODEL,))
    return routes
