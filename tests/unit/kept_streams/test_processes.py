"""Streams in a process: several of them, its forks, and its end."""

import gc
import json
import os
import subprocess
import sys
import threading

import pytest

from flask_sluice import Event
from flask_sluice.journal.errors import UnknownStreamError
from flask_sluice.stream import registry
from flask_sluice.stream.serving import is_patched
from tests.support.server import ROOT, wait_until
from tests.unit.journals import REDIS_URL
from tests.unit.kept_streams import DONE, events, make_streams

pytestmark = pytest.mark.timeout(60)


class TestAProcess:
    def test_may_have_several_streams(self, open_streams_with):
        one, other = open_streams_with(), open_streams_with()
        with one.create() as stream:
            if REDIS_URL is None:
                with pytest.raises(UnknownStreamError):
                    other.status(stream.id)
            else:
                assert other.status(stream.id).state == "running"

    def test_may_make_streams_anew_for_each_of_its_jobs(self):
        """As a Celery task does that has them inside of its function. Nothing is left of those that are done."""

        def job():
            with make_streams().create() as stream:
                stream.publish(Event(data="a"))
            return stream.id

        last = job()
        before = threading.active_count()
        for _ in range(20):
            last = job()
        wait_until(lambda: threading.active_count() <= before)
        if REDIS_URL is not None:
            assert events(make_streams(), last) == [("message", "a"), DONE]

    def test_may_forget_the_streams_of_a_generator_that_runs(self):
        go_on = threading.Event()

        def answer():
            yield Event(data="a")
            go_on.wait(30)
            saved.append(True)
            yield Event(data="b")

        saved = []
        began = make_streams().start(answer())
        gc.collect()
        go_on.set()
        wait_until(lambda: saved)
        wait_until(lambda: registry.admission().count == 0)
        assert registry.stats().errors == {}
        if REDIS_URL is not None:
            assert len(events(make_streams(), began.id)) == 3

    def test_may_be_forked_while_it_has_streams(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=1)
        with streams.create(owner="a") as stream:
            stream.publish(Event(data="of the parent"))

            def child():
                with pytest.raises(RuntimeError, match="the process that has begun it"):
                    stream.publish(Event(data="of the child"))
                stream.close()
                with streams.create(owner="a") as own:
                    own.publish(Event(data="of the child"))
                assert events(streams, own.id) == [("message", "of the child"), DONE]

            assert in_child(child) == 0
            stream.publish(Event(data="of the parent again"))
        assert [data for _, data in events(streams, stream.id)] == [
            "of the parent",
            "of the parent again",
            "{}",
        ]

    @pytest.mark.slow
    def test_ends_its_open_streams_when_it_exits(self):
        ended = run(
            """
            import logging
            logging.basicConfig(level="INFO", format="%(message)s")
            stream = streams.create()
            stream.publish(Event(data="a"))
            """
        )
        line = json.loads(ended.stderr)
        assert (line["outcome"], line["code"], line["events"]) == ("cancelled", "draining", 2)

    @pytest.mark.slow
    @pytest.mark.skipif(is_patched(), reason="the servers of greenlets wait for them")
    def test_lets_a_generator_save_its_answer_when_it_exits(self):
        ended = run(
            """
            import time
            def answer():
                yield Event(data="[DONE]")
                time.sleep(1.2)
                print("saved")
            stream = streams.start(answer())
            while streams.status(stream.id).state == "running":
                time.sleep(0.01)
            """
        )
        assert ended.stdout == "saved\n", ended.stderr

    @pytest.mark.slow
    def test_exits_although_a_generator_hangs(self):
        ended = run(
            """
            import threading
            def answer():
                yield Event(data="a")
                threading.Event().wait()
            stream = streams.start(answer())
            """
        )
        assert (ended.returncode, ended.stderr) == (0, "")


def in_child(function):
    """Run a function in a child of this process. Returns its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:  # noqa: BLE001 - pytest would go on in the child
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(program):
    """Run a program of its own, to its end."""
    lines = [
        "from flask_sluice import Event, Streams",
        f"streams = Streams({REDIS_URL!r})",
        *(line.removeprefix(" " * 12) for line in program.splitlines()),
    ]
    if is_patched():
        lines.insert(0, "from gevent import monkey; monkey.patch_all()")
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
