"""Python's clients: each reads one streamed answer and returns its text, or raises.

Run as a program with the simulator's URL, a number and the names of cases, it reads the answer of each case with each client, all at
the same time, and prints what came of it as JSON, a line each. The model that a client asks for is the
name of the case and the client's place in the list, counted from that number, with a dot between.
"""

import json
import os
import sys
import threading
import time

import anthropic
import httpx
import ollama
import openai
from google import genai
from google.genai import types

from flask_sluice.client import SSEClient, Timeouts

STALL_SECONDS = 2
"""How long the clients are told to wait between two pieces of an answer, where they can be told."""
GIVE_UP_SECONDS = 45
_PRINTING = threading.Lock()
QUESTION = "How does this end?"
MESSAGES = [{"role": "user", "content": QUESTION}]


def openai_chat(url, model):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=STALL_SECONDS)
    stream = client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def openai_chat_helper(url, model):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=STALL_SECONDS)
    with client.chat.completions.stream(model=model, messages=MESSAGES) as stream:
        return stream.get_final_completion().choices[0].message.content


def openai_responses(url, model):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=STALL_SECONDS)
    with client.responses.create(model=model, input=QUESTION, stream=True) as stream:
        return "".join(
            event.delta for event in stream if event.type == "response.output_text.delta"
        )


def openai_responses_helper(url, model):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=STALL_SECONDS)
    with client.responses.stream(model=model, input=QUESTION) as stream:
        return stream.get_final_response().output_text


def anthropic_messages(url, model):
    client = anthropic.Anthropic(base_url=url, api_key="none", timeout=STALL_SECONDS)
    with client.messages.stream(model=model, max_tokens=1000, messages=MESSAGES) as stream:
        return stream.get_final_text()


def ollama_chat(url, model):
    client = ollama.Client(host=url, timeout=STALL_SECONDS)
    return "".join(
        part.message.content for part in client.chat(model=model, messages=MESSAGES, stream=True)
    )


def google_genai(url, model):
    options = types.HttpOptions(base_url=url, timeout=STALL_SECONDS * 1000)
    client = genai.Client(api_key="none", http_options=options)
    stream = client.models.generate_content_stream(model=model, contents=QUESTION)
    return "".join(chunk.text or "" for chunk in stream)


def httpx_lines(url, model):
    """The loop that many programs have in place of an SDK."""
    body = {"model": model, "messages": MESSAGES, "stream": True}
    text = ""
    with httpx.stream(
        "POST", f"{url}/v1/chat/completions", json=body, timeout=STALL_SECONDS
    ) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line == "data: [DONE]":
                break
            if line.startswith("data: "):
                for choice in json.loads(line[6:])["choices"]:
                    text += choice["delta"].get("content") or ""
    return text


def sluice_client(url, model):
    client = SSEClient(url, timeouts=Timeouts(idle_event_seconds=STALL_SECONDS))
    body = {"model": model, "messages": MESSAGES, "stream": True}
    text = ""
    for event in client.stream("POST", "/v1/chat/completions", json=body):
        for choice in event.json()["choices"]:
            text += choice["delta"].get("content") or ""
    return text


CLIENTS = {
    "openai, chat": openai_chat,
    "openai, chat.completions.stream": openai_chat_helper,
    "openai, responses": openai_responses,
    "openai, responses.stream": openai_responses_helper,
    "anthropic, messages.stream": anthropic_messages,
    "ollama, chat": ollama_chat,
    "google-genai, generate_content_stream": google_genai,
    "httpx, a loop over lines": httpx_lines,
    "flask_sluice.client": sluice_client,
}


def read(name, client, url, case, model):
    began_at = time.monotonic()
    text, error = "", None
    try:
        text = client(url, model) or ""
    except Exception as raised:  # noqa: BLE001 - any is the client's way to notice
        error = type(raised).__name__
    seconds = time.monotonic() - began_at
    line = {"client": name, "case": case, "text": text, "error": error, "seconds": seconds}
    with _PRINTING:
        print(json.dumps(line), flush=True)


def main(url, first, *cases):
    readers = [
        threading.Thread(
            target=read, args=(name, client, url, case, f"{case}.{index}"), daemon=True
        )
        for index, (name, client) in enumerate(CLIENTS.items(), int(first))
        for case in cases
    ]
    for reader in readers:
        reader.start()
    ends_at = time.monotonic() + GIVE_UP_SECONDS
    for reader in readers:
        reader.join(max(0, ends_at - time.monotonic()))


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print(json.dumps(list(CLIENTS)))
    else:
        main(*sys.argv[1:])
        # Readers that still wait do not keep the process.
        sys.stdout.flush()
        os._exit(0)
