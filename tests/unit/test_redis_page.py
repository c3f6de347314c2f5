"""The commands that docs/redis.md has an ACL user need are those in the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.server import ROOT

PACKAGE = ROOT / "wsgi/flask_sluice"
PLACES = {
    "streams": [*PACKAGE.glob("journal/redis/*.py")],
    "channels": [*PACKAGE.glob("channels/redis/*.py")],
    "limits": [PACKAGE / "gateway/request/shared_counts.py"],
}
IN_ANY = {"eval", "evalsha", "exec", "multi"}
"""The client has these."""
OPTIONS = {"minid"}
"""A part of a command, in a tuple of its own."""


def commands_in(path: Path) -> Iterator[str]:
    """The commands in tuples and in scripts."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Tuple(elts=[ast.Constant(value=str(word)), *rest]) if re.fullmatch(
                "[A-Z]{3,}", word
            ):
                match rest:
                    case [ast.Constant(value=str(subcommand)), *_] if word == "PUBSUB":
                        yield f"{word}|{subcommand}".lower()
                    case _:
                        yield word.lower()
    for command, subcommand in re.findall(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?", text):
        yield f"{command}|{subcommand}".lower() if command == "PUBSUB" else command.lower()


def commands_of(user: str) -> set[str]:
    page = (ROOT / "docs/redis.md").read_text()
    (rights,) = re.findall(rf"^ACL SETUSER {user} (.+)$", page, re.MULTILINE)
    return {right[1:] for right in rights.split() if right.startswith("+")}


def test_each_part_needs_the_commands_that_it_has():
    for user, paths in PLACES.items():
        found = {command for path in paths for command in commands_in(path)} - OPTIONS
        assert found - IN_ANY == commands_of(user) - IN_ANY, user


def test_all_ways_to_write_a_command_are_found(tmp_path):
    source = tmp_path / "source.py"
    source.write_text(
        "one = ('GET', key)\nother = [('PUBSUB', 'NUMSUB', *keys), (*('XREAD', 'COUNT'), 1)]\n"
        "script = \"redis.call('HSET', 'a')\"\n"
    )
    assert set(commands_in(source)) == {"get", "pubsub|numsub", "xread", "hset"}
