"""In the shape of vanna (``src/vanna/servers/flask/routes.py``): an asynchronous agent, whose loop runs in the generator."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from flask import Flask, Response, request

from tests.adopting.notes import Notes, Question


async def steps(question: Question) -> AsyncIterator[dict[str, object]]:
    await asyncio.sleep(question.prefill)
    for number in range(question.words):
        yield {"step": number, "text": f"sélect {number}"}
        await asyncio.sleep(question.pause)


def create_app(_folder: Path) -> Flask:
    app = Flask(__name__)
    notes = Notes(app)

    @app.post("/chat")
    def chat() -> Response | tuple[dict[str, str], int]:
        if request.mimetype != "application/json":
            return {"error": "this takes JSON"}, 400
        question = Question.of_request()

        def generate() -> Iterator[str]:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            try:
                chunks = steps(question)
                try:
                    while True:
                        chunk = loop.run_until_complete(anext(chunks))
                        yield f"data: {json.dumps(chunk)}\n\n"
                except StopAsyncIteration:
                    yield "data: [DONE]\n\n"
            finally:
                loop.close()
                notes.add(question.key, "generator over")

        return Response(
            generate(),
            mimetype="text/event-stream",
            headers={
                "Cache-Control": "no-cache",
                "Connection": "keep-alive",
                "X-Accel-Buffering": "no",
            },
        )

    return app
