"""The fields that the requests of all APIs have in common, and what each of them can do."""

from collections.abc import Callable
from typing import ClassVar

import msgspec
from msgspec import Struct

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.format import Format
from flask_sluice.gateway.simulator.options import Name, SimulatorOptions
from flask_sluice.stream.errors import ApiError


class ApiRequest(Struct, kw_only=True):
    """The body of a request that the simulator answers.

    It accepts and ignores the fields that it does not know, as OpenAI-compatible servers do.
    """

    model: Name
    stream: bool | None = False
    simulator: SimulatorOptions | None = None

    format_type: ClassVar[type[Format]]
    explain: ClassVar[Callable[[bytes, msgspec.ValidationError], ApiError | None] | None] = None
    """Returns the API's own refusal of a body that is not of this type; None: the gateway's words do."""

    def check(self) -> None:
        """Raise ApiError 400 for fields that do not fit together. It takes little time: it does not read the texts."""

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for, to be answered with these options. Raises ApiError 400 as ``check`` does."""
        raise NotImplementedError

    def format(self, asked: Asked, answer: Answer) -> Format:
        """Return what writes the answer."""
        raise NotImplementedError
