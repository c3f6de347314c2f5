"""The answer, in pieces of HTML. A function that echoes the question stands for a language model."""

import re
import time
from collections.abc import Iterator

from markupsafe import Markup

PIECE = Markup("<span>{}</span>")
EMPTY_ANSWER = '<p id="text" hx-swap-oob="innerHTML"></p>'


def write_answer(question: str) -> Iterator[str]:
    """Yield the pieces of an answer, some of them white space only."""
    yield "You asked:"
    yield "\n\n"
    for piece in re.findall(r"\S+|\s+", question):
        # When the user leaves, GeneratorExit is raised here.
        time.sleep(0.03)
        if piece == "fail":
            raise ConnectionError("the language model does not answer")
        yield piece
