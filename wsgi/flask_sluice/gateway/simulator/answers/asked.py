"""What a request asks for, whatever its API: the neutral form in which an answer is decided."""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from flask_sluice.gateway.simulator.options import SimulatorOptions


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call.

    parameters: the JSON Schema of its arguments, undecoded; None: the tool takes free text
    pattern: the regular expression that the free text has to match; None: any text
    """

    name: str
    description: str
    parameters: msgspec.Raw | None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may or must call tools.

    name: the tool that it must call, with the mode "required"
    """

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request as far as the answer depends on it.

    questions: what each answer is about: the last message of the user, or each of the prompts
    prompt_text: all that the model would read
    prompt_length: its characters and token ids, told without making the text
    more_prompt_tokens: what the prompt has beside its text: images, audio, the definitions of tools
    context_tokens: how many the prompt and an answer may have together; None: any number
    prompt_field: the field of the request that holds the prompt, for a refusal
    choice_count: how many answers each question has
    tried_count: how many are made for each question, of which ``choice_count`` are given; None: as many
    token_limit: of each answer, its reasoning included; None: no limit
    stops: the sequences before which an answer ends
    tool_results: the texts of the results that came after the last message of the user
    tools: those that the model may call now, with ``tool_choice`` and ``may_call_in_parallel``
    schema: the JSON Schema of the answer, undecoded; None: the answer is prose
    schema_field: the field of the request that holds it, for a refusal
    reasoning_tokens: how many to think before the answer; 0: none
    is_reasoning_hidden: they count, and take no part in the answer; ``options.reasoning`` shows them all the same
    """

    model: str
    options: SimulatorOptions
    is_stream: bool
    questions: list[str]
    prompt_text: str
    prompt_length: int
    more_prompt_tokens: int = 0
    context_tokens: int | None = None
    prompt_field: Literal["messages", "prompt", "input"] = "messages"
    choice_count: int = 1
    tried_count: int | None = None
    token_limit: int | None = None
    stops: list[str] = field(default_factory=list)
    seed: int = 0
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice = ToolChoice()
    may_call_in_parallel: bool = True
    tool_results: list[str] = field(default_factory=list)
    schema: msgspec.Raw | None = None
    schema_field: str = "response_format"
    reasoning_tokens: int = 0
    is_reasoning_hidden: bool = False

    def drop_prompt(self) -> None:
        """Forget what only the deciding of the answer needs: a long prompt would be kept as long as its stream is."""
        self.prompt_text = ""
        self.questions = []
        self.tools = []
        self.tool_results = []
        self.schema = None
