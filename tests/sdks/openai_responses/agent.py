"""An agent of OpenAI's Agents SDK with a tool, streamed: prints what its tool was called with, and its answer."""

import asyncio
import json
import sys

from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI


async def main(url: str) -> None:
    set_tracing_disabled(True)
    called = []

    @function_tool
    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        called.append(city)
        return "it rains"

    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none")
    model = OpenAIResponsesModel(model="gpt-4o", openai_client=client)
    agent = Agent(name="Weather", model=model, tools=[get_weather])
    run = Runner.run_streamed(agent, "What is the weather in Paris?")
    deltas = [
        event.data.delta
        async for event in run.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    print(json.dumps({"called": called, "deltas": "".join(deltas), "answer": run.final_output}))


asyncio.run(main(sys.argv[1]))
