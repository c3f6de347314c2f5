"""docs/doctor.md says what the doctor does: each check, each remedy and each option."""

import argparse
import ast
import re
from pathlib import Path

import pytest

from flask_sluice.doctor import command
from flask_sluice.doctor.observing.departure import Manner, Stage
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.remedies.timeouts import SILENCE, USUAL_LIMITS, UsualLimit
from flask_sluice.doctor.report import GROUPS
from tests.support.server import ROOT
from tests.unit.test_doctor_remedies import REMEDIES, faults

PAGE = (ROOT / "docs/doctor.md").read_text()
CHECKS = ROOT / "wsgi/flask_sluice/doctor/checks"
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


def names_of_checks() -> list[str]:
    """The full names of all checks, which stand in the code as the first argument of what makes them."""
    names = {f"leaving.{stage.value}-{manner.value}" for stage in Stage for manner in Manner}
    for path in CHECKS.rglob("*.py"):
        tree = ast.parse(path.read_text())
        group = _group(tree, path)
        for node in ast.walk(tree):
            names |= {f"{group}.{name}" for name in _made_by(node, tree)}
    return sorted(names)


def _group(tree: ast.Module, path: Path) -> str:
    """The group that the module's CheckMaker has, or that of the module in its folder that has one."""
    for module in (tree, *(ast.parse(each.read_text()) for each in path.parent.glob("*.py"))):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CheckMaker":
                (group,) = node.args
                assert isinstance(group, ast.Constant)
                return str(group.value)
    return path.stem


def _made_by(node: ast.AST, tree: ast.Module) -> set[str]:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return set()
    if node.func.attr not in VERDICTS or not node.args:
        return set()
    (first, *_) = node.args
    return {value for value in _values(first, tree) if value}


def _passed_to(name: str, tree: ast.Module) -> set[str]:
    """The texts that calls within the module pass to parameters of this name."""
    found = set()
    for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
        places = [place for place, arg in enumerate(function.args.args) if arg.arg == name]
        for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call) and places):
            if getattr(call.func, "id", "") == function.name and len(call.args) > places[0]:
                given = call.args[places[0]]
                found |= {str(given.value)} if isinstance(given, ast.Constant) else set()
    return found


def _assigned_to(name: str, tree: ast.Module) -> set[str]:
    """The texts that the variable gets, alone or as one of several."""
    found = set()
    for each in (each for each in ast.walk(tree) if isinstance(each, ast.Assign)):
        for target in each.targets:
            pairs = [(target, each.value)]
            if isinstance(target, ast.Tuple) and isinstance(each.value, ast.Tuple):
                pairs = list(zip(target.elts, each.value.elts, strict=True))
            for to, value in pairs:
                if getattr(to, "id", "") == name and isinstance(value, ast.Constant):
                    found.add(str(value.value))
    return found


def _values(node: ast.expr, tree: ast.Module) -> set[str]:
    """The texts that an argument can have: its own, or those of the variable that it is."""
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.Name):
        return _passed_to(node.id, tree) | _assigned_to(node.id, tree)
    return set()


def options_of_command() -> list[str]:
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)
    return [name for action in parser._actions for name in action.option_strings]


@pytest.mark.parametrize("name", names_of_checks())
def test_the_page_tells_of_each_check(name):
    assert f"`{name}`" in PAGE


def test_checks_of_all_groups_are_found_in_the_code():
    assert {name.partition(".")[0] for name in names_of_checks()} == set(GROUPS)


def test_remedies_are_written_in_their_own_room_only():
    """So that the page has all, and each fault's can be put in the order of the products that were seen."""
    sources = (ROOT / "wsgi/flask_sluice/doctor").rglob("*.py")
    others = [path for path in sources if path.parent.name != "remedies"]
    assert [path.name for path in others if "Remedy(" in path.read_text()] == []


@pytest.mark.parametrize("fault", [fault.id for fault in faults()])
def test_a_check_uses_the_remedies_of_each_fault(fault):
    sources = (ROOT / "wsgi/flask_sluice/doctor").rglob("*.py")
    assert any(re.search(rf"\b{fault}\b(?! = )", path.read_text()) for path in sources)


@pytest.mark.parametrize("remedy", REMEDIES, ids=lambda remedy: remedy.where)
def test_the_page_has_each_remedy_as_a_row_of_a_table(remedy):
    assert row(remedy) in PAGE


@pytest.mark.parametrize(
    "limit", USUAL_LIMITS, ids=lambda limit: f"{limit.seconds:g}-{limit.product}"
)
def test_the_page_has_each_usual_limit_as_a_row_of_a_table(limit):
    assert row_of_limit(limit) in PAGE


@pytest.mark.parametrize("option", options_of_command())
def test_the_page_tells_of_each_option(option):
    assert f"`{option}" in PAGE or f"{option}`" in PAGE


def test_the_page_tells_of_no_option_that_the_command_does_not_have():
    cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `-")]
    named = {part.strip("`, ").split()[0] for cell in cells for part in cell.split("`, `")}
    assert named <= set(options_of_command())


def test_the_page_names_the_exit_codes_of_the_help():
    for line in command.EXAMPLES.partition("exit codes:\n")[2].splitlines():
        code, _, meaning = line.strip().partition("  ")
        assert f"| {code} | {meaning.strip()} |" in PAGE
