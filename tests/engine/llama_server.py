"""Serves a model with llama.cpp's own HTTP server: ``python llama_server.py MODEL PORT KEY``, in the engine's environment."""

import signal
import sys

import xllamacpp


def main(model: str, port: str, key: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = "tiny"
    params.port = int(port)
    params.api_keys = [key]
    params.n_parallel = 2
    params.n_ctx = 32768
    params.cache_prompt = False
    params.warmup = False
    params.endpoint_slots = True
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


if __name__ == "__main__":
    main(*sys.argv[1:])
