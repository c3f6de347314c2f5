"""That ``sse_response`` for ``Response`` is the whole change to an app."""

import ast

import pytest

from tests.adopting.adopt import APPS, NAMES, adopt


@pytest.mark.parametrize("name", NAMES)
def test_the_two_variants_of_an_app_differ_in_the_response_alone(name):
    source = (APPS / f"{name}.py").read_text()
    before, after = ast.parse(source), ast.parse(adopt(source))
    _take_response_up(before)
    imported = [
        node for node in after.body if ast.unparse(node) == "from flask_sluice import sse_response"
    ]
    assert len(imported) == 1
    after.body.remove(imported[0])
    assert ast.unparse(before) == ast.unparse(after)


def _take_response_up(tree: ast.Module) -> None:
    """Rename the call of Response, and take its ``mimetype`` away; everything else stays."""
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Response"
    )
    call.func = ast.Name("sse_response")
    (mimetype,) = (word for word in call.keywords if word.arg == "mimetype")
    assert ast.unparse(mimetype) == "mimetype='text/event-stream'"
    call.keywords.remove(mimetype)
