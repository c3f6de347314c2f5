"""The example's app with a language model that waits in the middle of an answer until a test lets it go on."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

# gunicorn is started in the example's folder.
import app as example

FOLDER = Path(os.environ["GATES"])
app = example.app
_write_answer = example.write_answer


def write_answer(question: str, seconds_between_words: float) -> Iterator[str]:
    for word in _write_answer(question, seconds_between_words):
        gate = FOLDER / word.strip()
        while word.startswith(" gate-") and not gate.exists():
            time.sleep(0.005)
        yield word


example.write_answer = write_answer
