"""The MCP example with further tools: those that the conformance suite calls, and one that prints how it ended."""

import time

import msgspec
from mcp_http import RpcError

from app import TOOLS, Report, Steps, ToolError, app

__all__ = ["app"]


class Text(msgspec.Struct):
    """Return a text."""

    def run(self) -> str:
        return "A text."


class Failing(msgspec.Struct):
    """Fail, as the model can read."""

    def run(self) -> str:
        raise ToolError("This tool fails always.")


class WithProgress(msgspec.Struct):
    """Report three times."""

    def steps(self, report: Report) -> Steps:
        for done in (0, 50, 100):
            yield report(done, 100, f"{done} of 100")
            time.sleep(0.05)
        return "A text."


class Sampling(msgspec.Struct):
    """Need the client's model, which no client of these tests offers."""

    def run(self) -> str:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise RpcError(-32021, "Missing required client capability", data=needed)


class Silent(msgspec.Struct):
    """Say nothing for a minute."""

    def steps(self, report: Report) -> Steps:
        print("the silent tool has begun", flush=True)
        try:
            time.sleep(60)
            yield report(1, 1, "over")
        finally:
            print("the silent tool has ended", flush=True)
        return "A text."


class Broken(msgspec.Struct):
    """Raise an exception after a report."""

    def steps(self, report: Report) -> Steps:
        yield report(1, 2, "half")
        raise ZeroDivisionError("secret")


TOOLS |= {
    "test_simple_text": Text,
    "test_error_handling": Failing,
    "test_tool_with_progress": WithProgress,
    "test_missing_capability": Sampling,
    "test_streaming_elicitation": WithProgress,
    "test_logging_tool": WithProgress,
    "silent": Silent,
    "broken": Broken,
}
app.config["SLUICE_KEEPALIVE_SECONDS"] = 0.1
