"""Scenarios: what tells the requests, which answer comes when, and what is said of a mistake."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from flask_sluice.gateway.simulator.apis.chat.request import ChatRequest
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.scenarios import scenario_file
from flask_sluice.gateway.simulator.scenarios.answers import Given, given_by_request
from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError
from flask_sluice.gateway.simulator.scenarios.last_message import LastMessage, last_message
from flask_sluice.gateway.simulator.scenarios.live import LiveScenario
from flask_sluice.gateway.simulator.scenarios.match import SeenRequest
from flask_sluice.gateway.simulator.scenarios.patterns import text_pattern
from flask_sluice.gateway.simulator.scenarios.scenario_file import ScenarioFile, read_scenario

RECORDING = """\
{"sluice_recording": 1, "method": "POST", "path": "/v1/chat/completions"}
{"at_seconds": 0.4, "status": 200, "headers": {}}
{"at_seconds": 0.5, "event": "data: a\\n\\n"}
{"at_seconds": 0.6, "event": "data: b\\n\\n"}
{"at_seconds": 1.0, "end": "complete"}
"""
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
AFTER_TOOL = [
    {"role": "user", "content": "How is the weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
]


def seen(prompt="How is the weather?", *, path="/v1/chat/completions", headers=None, **fields):
    """A chat completion as a scenario sees it."""
    messages = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": "gpt-4o", "messages": messages, **fields}).encode()
    chat = msgspec.json.decode(body, type=ChatRequest)
    options = chat.simulator or SimulatorOptions()
    seen = SeenRequest(chat.asked(options), api="chat", path=path, headers=headers or {}, body=body)
    return SimpleNamespace(request=seen, given=given_by_request(chat.simulator, body))


@pytest.fixture
def scenario(tmp_path):
    """Makes a scenario of TOML."""

    def make(text):
        path = tmp_path / "scenario.toml"
        path.write_text(text)
        return LiveScenario(str(path))

    return make


def answer(scenario, request=None):
    request = request or seen()
    return scenario.options_for(request.given, request.request).options


def texts(scenario, count):
    return [answer(scenario).text for _ in range(count)]


@pytest.mark.parametrize(
    ("match", "fitting", "other"),
    [
        ('model = "gpt-4o"', {}, {"model": "gpt-4o-mini"}),
        ('model = "gpt-*"', {"model": "gpt-5"}, {"model": "llama"}),
        ('model = "/^gpt-[45]/"', {"model": "gpt-5"}, {"model": "gpt-3.5"}),
        ('prompt = "weather"', {}, {"prompt": "How are you?"}),
        ("prompt = '/wea\\w+\\?/'", {}, {"prompt": "weather"}),
        ('role = "user"', {}, {"messages": AFTER_TOOL}),
        ('role = "tool"', {"messages": AFTER_TOOL}, {}),
        ('tool = "get_weather"', {"tools": [TOOL]}, {}),
        ('tool = "get_weather"', {"messages": AFTER_TOOL}, {}),
        ('api = "chat"', {}, None),
        ('api = "messages"', None, {}),
        ("stream = true", {"stream": True}, {}),
        ("stream = false", {}, {"stream": True}),
        ('path = "/v1/chat/*"', {}, {"path": "/other"}),
        ('header = { x-team = "blue" }', {"headers": {"x-team": "blue"}}, {}),
        ('conversation = "system words"', {
            "messages": [{"role": "system", "content": "system words"}, {"role": "user", "content": "x"}]
        }, {}),
        ('prompt = "system words"', None, {
            "messages": [{"role": "system", "content": "system words"}, {"role": "user", "content": "x"}]
        }),
        ('model = "gpt-4o"\nprompt = "weather"', {}, {"model": "llama"}),
    ],
)  # fmt: skip
def test_a_rule_is_for_the_requests_that_fit_in_all_its_fields(scenario, match, fitting, other):
    live = scenario(f'[[rule]]\nanswer = "found"\n[rule.match]\n{match}\n')
    if fitting is not None:
        assert answer(live, seen(**fitting)).text == "found"
    if other is not None:
        assert answer(live, seen(**other)).text is None


def test_the_first_rule_that_fits_answers(scenario):
    live = scenario(
        """
        [[rule]]
        match = { model = "llama" }
        answer = "one"
        [[rule]]
        answer = "two"
        [[rule]]
        answer = "three"
        """
    )
    assert texts(live, 2) == ["two", "two"]
    assert answer(live, seen(model="llama")).text == "one"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("1", ["x", None, None, None]),
        ("2", [None, "x", None, None]),
        ('"2.."', [None, "x", "x", "x"]),
        ('"2..3"', [None, "x", "x", None]),
    ],
)
def test_a_rule_may_be_for_the_nth_request(scenario, place, expected):
    live = scenario(f'[[rule]]\nmatch = {{ request = {place} }}\nanswer = "x"\n')
    assert texts(live, 4) == expected


def test_a_place_counts_the_requests_that_another_rule_has_answered(scenario):
    live = scenario(
        """
        [[rule]]
        match = { request = 1 }
        status = 429
        [[rule]]
        match = { request = 2 }
        answer = "second"
        """
    )
    assert answer(live).fault.status == 429
    assert texts(live, 2) == ["second", None]


def test_a_place_counts_the_requests_that_fit_the_rest_only(scenario):
    live = scenario('[[rule]]\nmatch = { prompt = "weather", request = 2 }\nanswer = "x"\n')
    answer(live)
    assert answer(live, seen("Hello")).text is None
    assert answer(live).text == "x"


def test_several_answers_come_in_turn_and_the_last_stays(scenario):
    assert texts(scenario('[[rule]]\nanswers = ["a", "b"]'), 4) == ["a", "b", "b", "b"]


def test_several_answers_may_start_again_after_the_last(scenario):
    live = scenario('[[rule]]\nanswers = ["a", "b"]\nafter_last = "restart"')
    assert texts(live, 4) == ["a", "b", "a", "b"]


def test_an_answer_may_have_all_options_of_the_simulator(scenario):
    live = scenario(
        """
        [[rule]]
        [rule.answer]
        ttft_ms = 200
        ttft_stddev_ms = 20
        finish_reason = "length"
        reasoning = 5
        fault = { kind = "cut", after = 2 }
        [[rule.answer.tool_calls]]
        name = "get_weather"
        arguments = { city = "Paris" }
        """
    )
    options = answer(live)
    assert (options.ttft_ms, options.ttft_stddev_ms, options.reasoning) == (200, 20, 5)
    assert (options.fault.kind, options.fault.after, options.finish_reason) == ("cut", 2, "length")
    assert options.calls[0].arguments_text() == '{"city":"Paris"}'


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ('fault = "cut"', ("cut", None, None)),
        ("status = 429\nretry_after = 2", ("status", 429, 2)),
        ("answer = { status = 503 }", ("status", 503, None)),
    ],
)
def test_a_fault_has_short_forms(scenario, rule, fault):
    found = answer(scenario(f"[[rule]]\n{rule}")).fault
    assert (found.kind, found.status, found.retry_after) == fault


def test_the_default_is_for_what_no_rule_gives(scenario):
    live = scenario("[default]\nitl_ms = 5\nttft_ms = 7\n[[rule]]\nanswer = { itl_ms = 30 }")
    # 30 is what the simulator would do by itself: it counts all the same.
    assert (answer(live).itl_ms, answer(live).ttft_ms) == (30, 7)


def test_what_a_request_says_itself_goes_before_the_scenario(scenario):
    live = scenario('[[rule]]\nanswer = { text = "x", itl_ms = 5, tokens = 9, fault = "cut" }')
    options = answer(live, seen(simulator={"itl_ms": 30, "text": "own"}))
    assert (options.itl_ms, options.text, options.tokens) == (30, "own", 9)
    assert options.fault.kind == "cut"


def test_a_text_that_a_request_asks_for_takes_the_place_of_tool_calls(scenario):
    live = scenario('[[rule]]\nanswer = { tool_calls = [{ name = "f" }], times = [1.0] }')
    options = answer(live, seen(simulator={"text": "own", "itl_ms": 1}))
    assert (options.calls, options.text, options.times_seconds(), options.itl_ms) == (
        [],
        "own",
        None,
        1,
    )


def test_recorded_times_may_be_those_of_a_recording_beside_the_scenario(scenario, tmp_path):
    (tmp_path / "paris.jsonl").write_text(RECORDING)
    live = scenario('[[rule]]\nanswer = { times = "paris.jsonl" }')
    assert answer(live).times_seconds() == [0.5, 0.1]


MISTAKES = {
    "[[rule]\n": ("not TOML", "line 1"),
    "[[rules]]\n": ("unknown field rules: did you mean rule?", "line 1"),
    "[[rule]]\n": ("line 1: rule 1: has no answer: give answer, answers, fault or status",),
    "rule = 3\n": ("rule: the rules are a list", "line 1"),
    '[[rule]]\nanswer = "a"\n\n[[rule]]\nname = "w"\nanswer = "b"\nmacth = {}\n': (
        "line 7: rule 2 (w): unknown field macth: did you mean match?",
    ),
    '[[rule]]\nanswer = "a"\nmatch = { modle = "x" }\n': (
        "line 3: rule 1: match: unknown field modle: did you mean model?",
    ),
    '[[rule]]\nanswer = "a"\nmatch = { model = 3 }\n': (
        "line 3: rule 1: match: model: Expected `str | null`, got `int`",
    ),
    '[[rule]]\nanswer = "a"\nmatch = { api = "chatt" }\n': ("line 3: rule 1: match: api: Invalid enum value 'chatt'; it takes chat",),
    '[[rule]]\nanswer = "a"\nmatch = { request = 0 }\n': (
        'line 3: rule 1: match: request: takes a number from 1 on, "2.." for all',
    ),
    '[[rule]]\nanswer = "a"\nmatch = { request = "3..2" }\n': ("rule 1: match: request: takes",),
    '[[rule]]\nanswer = "a"\nmatch = "gpt"\n': ("rule 1: match: takes a table, got 'gpt'",),
    '[[rule]]\nanswer = "a"\nmatch = { prompt = "/(/" }\n': (
        "line 3: rule 1: match: prompt: /(/ is not a regular expression",
    ),
    "[[rule]]\nanswer = { txt = 'a' }\n": (
        "line 2: rule 1: answer: unknown field txt: did you mean text?",
    ),
    "[[rule]]\n[rule.answer]\ntext = 'a'\nitl_ms = 'fast'\n": (
        "line 4: rule 1: answer: itl_ms: Expected `float`, got `str`",
    ),
    "[[rule]]\nanswer = { itl_ms = -1 }\n": ("line 2: rule 1: answer: itl_ms: Expected `float` >= 0",),
    "[[rule]]\nanswers = []\n": ("line 2: rule 1: answers: takes a list of at least one answer",),
    "[[rule]]\nanswers = ['a', { tokns = 1 }]\n": (
        "line 2: rule 1: answer 2: unknown field tokns: did you mean tokens?",
    ),
    "[[rule]]\nanswers = ['a']\nanswer = 'b'\n": ("rule 1: answer: does not go with answers",),
    "[[rule]]\nanswers = ['a']\nstatus = 429\n": ("rule 1: status: does not go with answers",),
    "[[rule]]\nanswers = ['a']\nafter_last = 'stop'\n": (
        "line 3: rule 1: after_last: takes repeat or restart, got 'stop'",
    ),
    "[[rule]]\nfault = 'cutt'\n": ("line 2: rule 1: answer: fault.kind: Invalid enum value 'cutt'; it takes status, json_body",),
    "[[rule]]\nfault = { kind = 'cut', aftr = 1 }\n": (
        "line 2: rule 1: answer: fault: unknown field aftr: did you mean after?",
    ),
    "[[rule]]\nfault = 'cut'\nstatus = 429\n": ("rule 1: answer: status is short for a fault",),
    "[[rule]]\nstatus = 200\n": ("line 2: rule 1: answer: fault.status: Expected `int` >= 400",),
    "[[rule]]\nanswer = { tool_calls = [{ nam = 'f' }] }\n": (
        "rule 1: answer: tool call: unknown field nam: did you mean name?",
    ),
    "[[rule]]\nanswer = { times = 'none.jsonl' }\n": (
        "line 2: rule 1: answer: times: ",
        "none.jsonl cannot be read",
    ),
    "[[rule]]\nanswer = { times = [] }\n": ("rule 1: answer: times: Expected `array` of length >= 1",),
    "[default]\nitl = 5\n": ("line 2: default: unknown field itl: did you mean itl_ms?",),
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_is_taken_there(tmp_path, text):
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as raised:
        read_scenario(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)
    for part in MISTAKES[text]:
        assert part in str(raised.value)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_is_not_there_is_told(tmp_path, name):
    with pytest.raises(ScenarioError, match="there is no file"):
        read_scenario(tmp_path / name)


def test_a_file_that_is_not_text_is_told(tmp_path):
    (tmp_path / "scenario.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="is not text in UTF-8"):
        read_scenario(tmp_path / "scenario.toml")


@pytest.mark.parametrize(
    "pattern",
    [r"(\d{1,3}\.){3}\d{1,3}", "weather in (Paris|Lyon)", r"^Translate .*: \w+", "[a-z]+"],
)
def test_a_usual_expression_is_taken(pattern):
    assert callable(text_pattern(f"/{pattern}/"))


def test_an_expression_looks_at_the_beginning_and_the_end_of_a_long_prompt():
    fits = text_pattern("/begin|end$/")
    long = "x" * 4_000_000
    assert fits("begin" + long)
    assert fits(long + "end")
    assert not fits(long + "begin" + long)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": AFTER_TOOL}, LastMessage("tool", ("get_weather",))),
        ({"prompt": "x"}, LastMessage("user")),
        ({"input": "x"}, LastMessage("user")),
        ({"messages": [{"role": "assistant", "content": "x"}]}, LastMessage("assistant")),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]},
                ]
            },
            LastMessage("tool", ("f",)),
        ),
        (
            {
                "input": [
                    {"type": "function_call", "call_id": "t", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "t", "output": "1"},
                ]
            },
            LastMessage("tool", ("f",)),
        ),
        (
            {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f"}}]}]},
            LastMessage("tool", ("f",)),
        ),
        ({"messages": [{"role": "tool", "tool_name": "f", "content": "1"}]}, LastMessage("tool", ("f",))),
    ],
)  # fmt: skip
def test_the_last_message_is_read_in_each_apis_form(body, expected):
    assert last_message(json.dumps(body).encode()) == expected


def test_a_rule_that_is_put_again_counts_on(scenario):
    live = LiveScenario()
    live.put_rule("w", {"answers": ["a"]})
    assert texts(live, 1) == ["a"]
    live.put_rule("w", {"answers": ["a", "b"]})
    assert texts(live, 2) == ["b", "b"]
    live.put_rule("v", {"answer": "first"})
    assert texts(live, 1) == ["first"]


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(scenario_file.time, "monotonic", lambda: self.now)


def test_a_changed_file_is_read_again_and_counts_anew(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    path = tmp_path / "scenario.toml"
    path.write_text('[[rule]]\nanswers = ["a", "b"]')
    live = LiveScenario(str(path))
    assert texts(live, 1) == ["a"]
    path.write_text('[[rule]]\nanswers = ["c", "d"]\n')
    assert texts(live, 1) == ["b"], "it was looked at less than a second ago"
    clock.now += 1
    assert texts(live, 2) == ["c", "d"]


def test_a_file_of_the_same_size_and_time_in_another_inode_is_read_again(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    path, new = tmp_path / "scenario.toml", tmp_path / "new"
    path.write_text('[[rule]]\nanswer = "a"')
    new.write_text('[[rule]]\nanswer = "b"')
    for each in (path, new):
        os.utime(each, (1, 1))
    live = LiveScenario(str(path))
    new.replace(path)
    clock.now += 1
    assert texts(live, 1) == ["b"]


@pytest.mark.parametrize("broken", ["[[rule", "[[rule]]\nansver = 1", None])
def test_a_broken_version_keeps_the_one_before_and_is_logged_once(
    tmp_path, monkeypatch, caplog, broken
):
    clock = Clock(monkeypatch)
    path = tmp_path / "scenario.toml"
    path.write_text('[[rule]]\nanswer = "a"')
    file = ScenarioFile(str(path))
    path.unlink() if broken is None else path.write_text(broken)
    for _ in range(3):
        clock.now += 1
        assert len(file.current().rules) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text


def test_options_of_which_none_is_given_change_nothing():
    given = Given(SimulatorOptions(text="x"), frozenset({"text"}))
    assert given.over(Given()) is given
    assert Given().over(given) == given


def test_the_paths_of_recordings_are_relative_to_the_scenario(tmp_path):
    folder = Path(tmp_path, "recordings")
    folder.mkdir()
    (folder / "a").write_text(RECORDING)
    (tmp_path / "scenario.toml").write_text('[default]\ntimes = "recordings/a"')
    assert read_scenario(tmp_path / "scenario.toml").default.options.times_seconds() == [0.5, 0.1]
