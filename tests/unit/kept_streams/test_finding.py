"""How a stream is found, by whom, and what its status tells."""

import json
import time
import uuid

import pytest

from flask_sluice import ApiError, Event, StreamContext
from flask_sluice.journal.errors import InvalidEventIdError, UnknownStreamError
from flask_sluice.journal.streams import new_id
from tests.support.server import wait_until
from tests.unit.journals import ids
from tests.unit.kept_streams import DONE, Reader, events, read

pytestmark = pytest.mark.timeout(60)


class TestAnOwner:
    def test_has_a_stream_that_others_do_not_find(self, streams, key):
        with streams.create(owner=7, key=key) as stream:
            for act in (streams.stop, streams.status):
                with pytest.raises(UnknownStreamError):
                    act(stream.id, owner=8)
            with pytest.raises(UnknownStreamError):
                read(streams, stream.id, owner="8")
            assert not stream.is_stopped
            assert streams.find(key=key, owner="8") is None
        assert ids(read(streams, stream.id, owner="7")) == [1]

    @pytest.mark.parametrize("owner", [7, uuid.uuid4(), "ada", "Ünï 7:*"])
    def test_may_be_a_number_or_its_text(self, streams, owner, key):
        with streams.create(owner=owner, key=key) as stream:
            assert streams.status(stream.id, owner=str(owner)).id == stream.id
            assert streams.status(stream.id, owner=owner).id == stream.id
            assert streams.find(key=key, owner=owner).id == stream.id

    def test_does_not_get_a_stream_that_belongs_to_none(self, streams):
        with streams.create() as stream, pytest.raises(UnknownStreamError):
            streams.status(stream.id, owner="7")

    def test_need_not_be_named_by_who_may_read_all(self, streams):
        with streams.create(owner=7) as stream:
            assert streams.status(stream.id).state == "running"

    def test_may_have_so_many_running_streams(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=2)
        with streams.create(owner="a"), streams.create(owner="a") as second:
            with pytest.raises(ApiError, match="2 streams of yours are running") as caught:
                streams.create(owner="a")
            assert caught.value.status == 429
            assert caught.value.headers["Retry-After"]
            second.close()
            with streams.create(owner="a"), streams.create(owner="b"):
                pass
        with streams.create(owner="a"), streams.create(owner="a"):
            pass

    def test_may_begin_the_next_stream_as_soon_as_readers_have_the_end(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=1)
        for _ in range(20):
            began = streams.start([Event(data="a")], owner="a")
            assert ids(read(streams, began.id)) == [1, 2]

    def test_is_counted_no_more_when_a_stream_could_not_begin(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=1)
        taken = StreamContext()
        taken.is_taken = True
        for _ in range(3):
            with pytest.raises(RuntimeError, match="make another"):
                streams.create(owner="a", context=taken)
            with pytest.raises(TypeError, match="context takes a StreamContext"):
                streams.create(owner="a", context="context")
            with pytest.raises(TypeError, match="is_terminal takes a function"):
                streams.create(owner="a", is_terminal="done")
        with streams.create(owner="a"):
            pass


class TestAKey:
    def test_finds_the_running_stream_and_then_the_last_one(self, streams, key):
        assert streams.find(key=key) is None
        with streams.create(key=key) as first:
            found = streams.find(key=key)
            assert (found.id, found.state) == (first.id, "running")
        found = streams.find(key=key)
        assert (found.id, found.state) == (first.id, "complete")
        with streams.create(key=key) as second:
            assert streams.find(key=key).id == second.id

    def test_of_one_owner_is_not_taken_by_another(self, streams, key):
        with (
            streams.create(owner="a", key=key) as first,
            streams.create(owner="b", key=key) as second,
        ):
            assert streams.find(key=key, owner="a").id == first.id
            assert streams.find(key=key, owner="b").id == second.id
            assert streams.find(key=key).id == second.id

    def test_may_be_a_number(self, streams):
        number = uuid.uuid4().int
        with streams.create(key=number) as stream:
            assert streams.find(key=number).id == stream.id
            assert streams.find(key=str(number)).id == stream.id

    def test_is_forgotten_with_its_stream(self, open_streams_with, key):
        streams = open_streams_with(history_seconds=0.1)
        with streams.create(key=key):
            pass
        wait_until(lambda: streams.find(key=key) is None)


class TestTheStatus:
    def test_of_a_running_stream(self, streams):
        before = time.time()
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            stream.publish(Event(data="b"))
            status = wait_until(lambda: (found := streams.status(stream.id)).last_id == 2 and found)
        assert status.state == "running"
        assert before <= status.created_at <= time.time()
        assert status.expires_at is None
        assert status.error is None

    def test_of_a_complete_stream(self, open_streams_with):
        streams = open_streams_with(history_seconds=50)
        with streams.create() as stream:
            stream.publish(Event(data="a"))
        status = streams.status(stream.id)
        assert (status.state, status.last_id, status.error) == ("complete", 2, None)
        assert 40 < status.expires_at - time.time() <= 51

    def test_can_be_sent_as_json(self, streams):
        with streams.create() as stream:
            pass
        told = json.loads(json.dumps(streams.status(stream.id).as_dict()))
        assert told.keys() == {"id", "state", "last_id", "created_at", "expires_at", "error"}
        assert (told["id"], told["state"]) == (stream.id, "complete")

    def test_of_an_unknown_stream_is_a_404(self, streams):
        with pytest.raises(ApiError) as caught:
            streams.status(new_id())
        assert caught.value.status == 404

    def test_is_forgotten_with_the_stream(self, open_streams_with):
        streams = open_streams_with(history_seconds=0.2)
        with streams.create() as stream:
            pass

        def is_forgotten():
            try:
                streams.status(stream.id)
            except UnknownStreamError:
                return True
            return False

        # A renewal of the running stream that was on its way at its end gives it twice the lease.
        wait_until(is_forgotten, 30)


class TestAnId:
    def test_may_be_told_before_the_stream_begins(self, streams):
        given = streams.new_id()
        with pytest.raises(UnknownStreamError):
            streams.status(given)
        with streams.create(id=given) as stream:
            assert stream.id == given
            assert streams.status(given).state == "running"

    @pytest.mark.parametrize(
        "given", ["1", "chat-7", "a" * 200, "../../etc/passwd/etc/passwd", "", 7]
    )
    def test_that_can_be_guessed_is_refused(self, streams, given):
        with pytest.raises(ValueError, match=r"new_id\(\)"):
            streams.create(id=given)

    @pytest.mark.parametrize("is_over", [True, False])
    def test_is_for_one_stream_also_where_a_task_is_run_again(self, streams, is_over):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            if is_over:
                stream.close()
            with pytest.raises(ValueError, match=r"has the id .* already: take a new one"):
                streams.create(id=stream.id)
        assert events(streams, stream.id) == [("message", "a"), DONE]

    def test_is_never_one_of_the_gateways(self, streams):
        """Whose routes would read it past the views of the app."""
        with pytest.raises(ValueError, match="the gateway's"):
            streams.create(id="gw-" + "x" * 22)
        assert not streams.new_id().startswith("gw-")

    def test_is_impossible_to_guess(self, streams):
        with streams.create() as one, streams.create() as other:
            assert one.id != other.id
            assert len(one.id) >= 22

    def test_that_the_stream_has_not_given_out_is_refused(self, streams):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            with pytest.raises(InvalidEventIdError):
                Reader(streams, stream.id, after=9)
