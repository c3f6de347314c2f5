"""docs/doctor.md says what the doctor does: each check, each remedy and each option."""

import argparse
import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import TypeVar

from flask_sluice.doctor import command
from flask_sluice.doctor.observing.departure import Manner, Stage
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.remedies.timeouts import SILENCE, USUAL_LIMITS, UsualLimit
from flask_sluice.doctor.report import GROUPS
from tests.support.server import ROOT
from tests.unit.test_doctor_remedies import REMEDIES, faults

PAGE = (ROOT / "docs/doctor.md").read_text()
DOCTOR = ROOT / "wsgi/flask_sluice/doctor"
CHECKS = DOCTOR / "checks"
SOURCES = {path: path.read_text() for path in sorted(DOCTOR.rglob("*.py"))}
Node = TypeVar("Node", bound=ast.AST)
VERDICTS = {"ok", "warning", "fault", "skipped"}


def row(remedy: Remedy) -> str:
    """The remedy as two cells of a table in the page."""
    return f" {remedy.where} | {_code(remedy.line)} |"


def row_of_limit(limit: UsualLimit) -> str:
    """The limit as a row of the table in the page: after how many seconds, by what, since when it counts, what to change."""
    since = "last byte" if limit.of == SILENCE else "request"
    return f"| {limit.seconds:g} s | {_code(limit.setting)} | {since} |{row(limit.remedy)}"


def _code(text: str) -> str:
    return "<br>".join(f"`{line}`" for line in text.split("\n") if line.strip())


@cache
def names_of_checks() -> frozenset[str]:
    """The full names of all checks, which stand in the code as the first argument of what makes them."""
    trees = {path: ast.parse(text) for path, text in SOURCES.items() if CHECKS in path.parents}
    names = {f"leaving.{stage.value}-{manner.value}" for stage in Stage for manner in Manner}
    for path, tree in trees.items():
        beside = [trees[other] for other in trees if other.parent == path.parent]
        group = next(filter(None, map(_group_of, [tree, *beside])))
        names |= {f"{group}.{name}" for name in _names_in(tree)}
    return frozenset(names)


def _group_of(tree: ast.Module) -> str:
    """The group of the module's CheckMaker; "" if it has none of its own."""
    for call in _nodes(tree, ast.Call):
        if getattr(call.func, "id", "") == "CheckMaker":
            return _text(call.args[0])
    return ""


def _names_in(tree: ast.Module) -> set[str]:
    """The names of the checks that a module makes: as they are, or those of the variables that stand for them."""
    firsts = [
        call.args[0]
        for call in _nodes(tree, ast.Call)
        if isinstance(call.func, ast.Attribute) and call.func.attr in VERDICTS and call.args
    ]
    variables = {first.id for first in firsts if isinstance(first, ast.Name)}
    found = {_text(first) for first in firsts}
    for variable in variables:
        found |= _assigned_to(variable, tree) | _passed_to(variable, tree)
    return found - {""}


def _assigned_to(name: str, tree: ast.Module) -> set[str]:
    """The texts that a variable gets, alone or as one of several."""
    found = set()
    for each in _nodes(tree, ast.Assign):
        (target,) = each.targets
        pairs = [(target, each.value)]
        if isinstance(target, ast.Tuple) and isinstance(each.value, ast.Tuple):
            pairs = list(zip(target.elts, each.value.elts, strict=True))
        found |= {_text(value) for to, value in pairs if getattr(to, "id", "") == name}
    return found


def _passed_to(name: str, tree: ast.Module) -> set[str]:
    """The texts that calls within the module pass to a parameter of this name."""
    places = {
        function.name: [arg.arg for arg in function.args.args].index(name)
        for function in _nodes(tree, ast.FunctionDef)
        if name in [arg.arg for arg in function.args.args]
    }
    found = set()
    for call in _nodes(tree, ast.Call):
        place = places.get(getattr(call.func, "id", ""))
        if place is not None and place < len(call.args):
            found.add(_text(call.args[place]))
    return found


def _nodes(tree: ast.Module, kind: type[Node]) -> Iterator[Node]:
    return (node for node in ast.walk(tree) if isinstance(node, kind))


def _text(node: ast.expr) -> str:
    """The text that a constant is; "" for anything else."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return str(node.value) if is_text else ""


def options_of_command() -> list[str]:
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)
    return [name for action in parser._actions for name in action.option_strings]


def test_the_page_tells_of_each_check():
    assert [name for name in names_of_checks() if f"`{name}`" not in PAGE] == []


def test_checks_of_all_groups_are_found_in_the_code():
    assert {name.partition(".")[0] for name in names_of_checks()} == set(GROUPS)


def test_the_page_tells_of_no_check_that_is_not_made():
    named = set(re.findall(rf"`((?:{'|'.join(GROUPS)})\.[\w-]+)`", PAGE))
    assert named <= set(names_of_checks())


def test_remedies_are_written_in_their_own_room_only():
    """So that the page has all, and each fault's can be put in the order of the products that were seen."""
    others = [path for path in SOURCES if path.parent.name != "remedies"]
    assert [path.name for path in others if "Remedy(" in SOURCES[path]] == []


def test_a_check_uses_the_remedies_of_each_fault():
    used = set()
    for text in SOURCES.values():
        used |= set(re.findall(r"\b[A-Z][A-Z0-9_]+\b(?! = )", text))
    assert {str(fault.id) for fault in faults()} - used == set()


def test_the_page_has_each_remedy_as_a_row_of_a_table():
    assert [remedy for remedy in REMEDIES if row(remedy) not in PAGE] == []


def test_the_page_has_each_usual_limit_as_a_row_of_a_table():
    assert [limit for limit in USUAL_LIMITS if row_of_limit(limit) not in PAGE] == []


def test_the_page_tells_of_each_option():
    missing = [
        option
        for option in options_of_command()
        if f"`{option}" not in PAGE and f"{option}`" not in PAGE
    ]
    assert missing == []


def test_the_page_tells_of_no_option_that_the_command_does_not_have():
    cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `-")]
    named = {part.strip("`, ").split()[0] for cell in cells for part in cell.split("`, `")}
    assert named <= set(options_of_command())


def test_the_page_names_the_exit_codes_of_the_help():
    for line in command.EXAMPLES.partition("exit codes:\n")[2].splitlines():
        code, _, meaning = line.strip().partition("  ")
        assert f"| {code} | {meaning.strip()} |" in PAGE
