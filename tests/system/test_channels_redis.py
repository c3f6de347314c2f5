"""Channels that several processes share, in a real Redis."""

import random
import re
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_sluice.channels import Channels
from flask_sluice.channels.redis import other_workers, presence, presence_scripts, scripts, store
from flask_sluice.channels.redis.keys import lease_key, owners_key, readers_key
from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis.servers import scripts as scripts_of_redis
from flask_sluice.journal.redis.servers.scripts import Script
from tests.support.server import ROOT, wait_until
from tests.system.channel_worker import ChannelWorker
from tests.system.redis_server import RedisServer
from tests.unit.channels import Reader, in_background


@pytest.fixture(scope="module")
def pair(redis):
    """Two workers, one with greenlets and one with threads. Tests must not end them."""
    with ChannelWorker(redis.url) as one, ChannelWorker(redis.url, threads=True) as other:
        yield one, other


@pytest.fixture
def start(redis):
    """Return a function that starts a worker, on this file's Redis unless another is given."""
    workers = []

    def start_(url=redis.url, **options):
        workers.append(ChannelWorker(url, **options))
        return workers[-1]

    yield start_
    for worker in workers:
        worker.kill()


@pytest.fixture
def name():
    return f"test:{uuid.uuid4().hex}"


@pytest.fixture
def own_redis():
    """One that the test may kill and flush."""
    with RedisServer() as redis:
        yield redis


@pytest.fixture
def open_channels(redis):
    """Return a function that makes channels in this process."""
    opened = []

    def open_(url=redis.url, **options):
        opened.append(Channels(url, **options))
        return opened[-1]

    yield open_
    for channels in opened:
        channels.close()


def numbers(count, first=0):
    return [str(number) for number in range(first, first + count)]


def until_has(worker, reader, *data):
    wait_until(lambda: worker.data(reader) == list(data), 20, lambda: str(worker.data(reader)[-9:]))


@pytest.mark.slow
class TestSeveralProcesses:
    def test_have_the_same_channel(self, pair, name):
        readers = [(worker, worker.follow([name])) for worker in pair]
        for place, worker in enumerate(pair):
            worker.publish(name, place)
        for worker, reader in readers:
            until_has(worker, reader, *numbers(2))

    def test_keep_a_reader_that_moves_between_them_without_gap_or_double(self, pair, name):
        witness = pair[0].follow([name])
        last_id, received = pair[0].reader_id(witness), []
        pair[1].begin("publish_numbers", name, 300)
        while len(received) < 300:
            worker = pair[0]
            reader = worker.follow([name], last_id)
            wait_until(lambda: worker.data(reader))  # noqa: B023
            worker.leave(reader)
            received += worker.data(reader)
            last_id = worker.reader_id(reader)
        pair[1].result()
        assert received == numbers(300)

    def test_give_a_reader_what_another_of_them_has_not_heard_of_yet(self, pair, name):
        one, other = pair
        for number in range(50):
            (id_,) = one.publish(name, number)
            # It has this event, from the first worker, before the second one may have heard of it.
            reader = other.follow([name], id_)
            assert other.data(reader) == []
            (next_id,) = one.publish(name, "next")
            wait_until(lambda: other.reader_id(reader) == next_id)  # noqa: B023
            assert other.data(reader) == ['"next"']
            other.leave(reader)

    def test_end_the_readers_of_a_kick_in_all_of_them(self, pair, name):
        readers = [(worker, worker.follow_as(name, "7")) for worker in pair]
        others = [(worker, worker.follow_as(name, "8")) for worker in pair]
        pair[0].kick(name, "7")
        for worker, reader in readers:
            wait_until(lambda: worker.is_finished(reader))  # noqa: B023
        for worker, reader in others:
            assert not worker.is_finished(reader)

    @pytest.mark.slow
    def test_have_one_connection_each_that_reads(self, start, own_redis, name):
        workers = [start(own_redis.url), start(own_redis.url, threads=True)]
        channels = [f"{name}-{number}" for number in range(50)]
        for worker in workers:
            worker.follow_many(channels * 4)
        for channel in channels:
            workers[0].publish(channel, channel)
        for worker in workers:
            wait_until(lambda: all(len(data) == 1 for data in worker.all_data()))  # noqa: B023
        subscriptions = [
            (each["name"], each["sub"])
            for each in own_redis.client.client_list()
            if each["sub"] != "0"
        ]
        # The channels, and the one by which others see that the process lives.
        assert [count for _, count in subscriptions] == ["51", "51"]
        assert len(dict(subscriptions)) == 2

    def test_read_a_channel_that_is_followed_while_events_come(self, pair, name):
        one, other = pair
        one.begin("publish_numbers", name, 400)
        readers = []
        while len(readers) < 20:
            readers.append(other.follow([name]))
        one.result()
        last = other.last_id(name)
        for reader in readers:
            wait_until(lambda: other.reader_id(reader) == last)  # noqa: B023
            data = other.data(reader)
            assert data == numbers(400)[400 - len(data) :]


class TestBrokenConnections:
    @pytest.mark.slow
    def test_lose_no_event_and_double_none(self, redis, open_channels, name):
        channels, publisher = open_channels(), open_channels()
        readers = [Reader(channels, name) for _ in range(5)]
        readers.append(Reader(channels, f"{name}-other", name, forwards=True))
        is_over = threading.Event()

        def kill_connections():
            while not is_over.wait(random.uniform(0, 0.01)):
                for each in redis.client.client_list():
                    if each["name"].startswith("sluice-channels"):
                        redis.client.client_kill_filter(_id=each["id"])

        def publish():
            try:
                for number in range(300):
                    self.publish_surely(publisher, name, number)
            finally:
                is_over.set()

        with in_background(kill_connections, publish):
            pass
        for reader in readers:
            wait_until(lambda: len(reader.data) >= 300, 20)  # noqa: B023
            assert reader.data == numbers(300)

    def publish_surely(self, publisher, name, number):
        """Publish until Redis says that it has the event: a second connection may have been killed, too."""
        last_id = self.surely(lambda: publisher.last_id(name))
        while True:
            try:
                publisher.publish(name, number)
            except JournalUnavailableError:
                if self.surely(lambda: publisher.last_id(name)) != last_id:
                    return
            else:
                return

    @staticmethod
    def surely(ask):
        while True:
            try:
                return ask()
            except JournalUnavailableError:
                continue

    def test_are_replaced_before_anything_later_is_given_out(self, redis, open_channels, name):
        channels, publisher = open_channels(), open_channels()
        reader = Reader(channels, name)
        for number in range(30):
            publisher.publish(name, number)
            if number % 3 == 0:
                redis.client.client_kill_filter(_type="pubsub")
        wait_until(lambda: reader.data == numbers(30))


class TestRedis:
    def test_that_restarts_with_its_data_loses_nothing(self, own_redis, open_channels, name):
        channels = open_channels(own_redis.url)
        reader = Reader(channels, name)
        channels.publish(name, 0)
        own_redis.kill()
        with pytest.raises(JournalUnavailableError):
            channels.publish(name, "lost")
        own_redis.start()
        wait_until(lambda: self.publishes(channels, name, 1))
        wait_until(lambda: reader.data == numbers(2), explain=lambda: str(reader.received))
        again = Reader(channels, name, last_event_id=reader.ids[0])
        wait_until(lambda: again.data == ["1"])

    @staticmethod
    def publishes(channels, name, data):
        try:
            return channels.publish(name, data)
        except JournalUnavailableError:
            return None

    def test_that_was_flushed_is_a_reset_for_those_who_are_there(
        self, own_redis, open_channels, name
    ):
        channels = open_channels(own_redis.url)
        reader = Reader(channels, name, forwards=True)
        channels.publish(name, 0)
        own_redis.client.flushall()
        channels.publish(name, 1)
        wait_until(lambda: len(reader.events) == 3)
        assert [event.event for event in reader.events] == ["message", "reset", "message"]

    def test_that_was_flushed_is_a_reset_for_those_who_come_back(
        self, own_redis, open_channels, name
    ):
        channels = open_channels(own_redis.url)
        id_ = channels.publish(name, 0)
        own_redis.client.flushall()
        reader = Reader(open_channels(own_redis.url), name, last_event_id=id_)
        wait_until(lambda: [event.event for event in reader.events] == ["reset"])

    def lose_the_last_event(self, redis, channels, name, is_heard=lambda: True):
        """Return the ids of an event that Redis still has afterwards, and of one that it has lost.

        is_heard: returns whether those that are to know of the lost one do
        """
        kept = channels.publish(name, "kept")
        redis.remember()
        lost = channels.publish(name, "lost")
        wait_until(is_heard)
        redis.kill()
        redis.go_back()
        redis.start()
        return kept, lost

    def test_that_has_lost_its_last_events_is_a_reset_for_those_who_have_them(
        self, own_redis, open_channels, name
    ):
        _, lost = self.lose_the_last_event(own_redis, open_channels(own_redis.url), name)
        reader = Reader(open_channels(own_redis.url), name, last_event_id=lost)
        assert [event.event for event in reader.events] == ["reset", "message"]
        assert reader.data[1:] == ['"kept"']

    def test_that_has_lost_its_last_events_is_a_reset_for_those_who_have_missed_them(
        self, own_redis, open_channels, name
    ):
        publisher = open_channels(own_redis.url)
        kept, _ = self.lose_the_last_event(own_redis, publisher, name)
        wait_until(lambda: self.publishes(publisher, name, "new"))
        reader = Reader(open_channels(own_redis.url), name, last_event_id=kept)
        assert [event.event for event in reader.events] == ["reset", "message"]
        assert reader.data[1:] == ['"new"']

    def test_that_has_lost_an_event_which_one_process_has_heard_is_a_reset_in_all_of_them(
        self, own_redis, open_channels, name
    ):
        witness = open_channels(own_redis.url)
        heard = Reader(witness, name)
        publisher = open_channels(own_redis.url)
        kept, _ = self.lose_the_last_event(
            own_redis, publisher, name, is_heard=lambda: len(heard.events) == 2
        )
        publisher.close()

        def resets(reader):
            return [event.event for event in reader.events] == ["reset"]

        # The witness notices when it has reached Redis again.
        reader = Reader(open_channels(own_redis.url), name, last_event_id=kept)
        wait_until(lambda: resets(reader))

    def test_that_has_lost_an_event_and_got_others_since_is_a_reset_too(
        self, own_redis, open_channels, name
    ):
        publisher, other = open_channels(own_redis.url), open_channels(own_redis.url)
        kept, _ = self.lose_the_last_event(own_redis, publisher, name)
        wait_until(lambda: self.publishes(other, name, "of another"))
        publisher.publish(name, "new")
        reader = Reader(open_channels(own_redis.url), name, last_event_id=kept)
        assert [event.event for event in reader.events] == ["reset", "message"]
        assert reader.data[1:] == ['"new"']

    def test_is_not_told_by_a_client_that_it_has_lost_events(self, redis, open_channels, name):
        channels = open_channels()
        ids = [channels.publish(name, number) for number in range(2)]
        tag, _, position = ids[1].partition(":")
        Reader(channels, name, last_event_id=f"{tag}:{int(position.partition('-')[0]) + 5000}-0")
        assert Reader(channels, name, last_event_id=ids[0]).data == ["1"]

    def test_is_asked_for_events_whose_message_no_server_has_passed_on(
        self, redis, open_channels, name, monkeypatch
    ):
        text = re.sub(r"redis\.call\('PUBLISH'.*", "", scripts.PUBLISH.text)
        monkeypatch.setattr(scripts, "PUBLISH", Script(text))
        channels = open_channels()
        reader = Reader(channels, name)
        channels.publish(name, 0)
        wait_until(lambda: reader.data == ["0"])

    @pytest.mark.slow
    def test_is_asked_where_a_new_reader_begins_while_the_process_is_cut_off(
        self, own_redis, start, name
    ):
        worker = start(own_redis.url)
        worker.follow([name])
        publisher = start(own_redis.url)
        own_redis.client.execute_command("ACL", "SETUSER", "default", "-subscribe")
        own_redis.client.client_kill_filter(_type="pubsub")
        publisher.publish(name, "before")
        reader = worker.follow([name])
        publisher.publish(name, "after")
        own_redis.client.execute_command("ACL", "SETUSER", "default", "+subscribe")
        until_has(worker, reader, '"after"')

    def test_that_is_away_keeps_its_readers_who_go_on_afterwards(
        self, own_redis, open_channels, name
    ):
        channels = open_channels(own_redis.url)
        reader = Reader(channels, name)
        own_redis.kill()
        with pytest.raises(JournalUnavailableError) as refused:
            channels.follow([f"{name}-new"], "", lambda: None)
        assert refused.value.status == 503
        own_redis.start()
        wait_until(lambda: self.publishes(channels, name, 1))
        wait_until(lambda: reader.data == ["1"])

    @pytest.mark.slow
    def test_that_is_away_does_not_refuse_a_reader_whose_events_the_process_has(
        self, own_redis, open_channels, name
    ):
        channels = open_channels(own_redis.url)
        first = Reader(channels, name)
        ids = [channels.publish(name, number) for number in range(3)]
        wait_until(lambda: first.ids == ids)
        own_redis.kill()
        again = Reader(channels, name, last_event_id=ids[0])
        assert again.ids == ids[1:]
        own_redis.start()
        wait_until(lambda: self.publishes(channels, name, "later"))
        wait_until(lambda: again.data == ["1", "2", '"later"'])

    def test_that_has_forgotten_the_scripts_is_given_them_again(self, redis, open_channels, name):
        channels = open_channels()
        channels.publish(name, 0)
        redis.client.script_flush()
        id_ = channels.publish(name, 1)
        assert channels.last_id(name) == id_


class TestKick:
    @pytest.mark.slow
    def test_ends_readers_whose_process_was_cut_off_when_it_was_published(
        self, start, redis, open_channels, name
    ):
        worker = start()
        reader = worker.follow_as(name, "7")
        worker.suspend()
        open_channels().kick(name, "7")
        redis.client.client_kill_filter(_type="pubsub")
        worker.resume()
        wait_until(lambda: worker.is_finished(reader))

    @pytest.mark.slow
    def test_ends_them_all_where_it_is_not_kept_any_more(self, start, redis, open_channels, name):
        worker, channels = start(), open_channels(history_events=3)
        readers = [worker.follow_as(name, owner) for owner in ("7", "8")]
        worker.suspend()
        redis.client.client_kill_filter(_type="pubsub")
        channels.kick(name, "7")
        for number in range(5):
            channels.publish(name, number)
        worker.resume()
        for reader in readers:
            wait_until(lambda: worker.is_finished(reader))  # noqa: B023


@pytest.mark.slow
class TestPresence:
    def test_is_the_same_in_all_processes_and_two_tabs_are_one_join(self, pair, name):
        one, other = pair
        tabs = [one.follow_as(name, "7"), other.follow_as(name, "7")]
        wait_until(lambda: one.present(name) == other.present(name) == ["7"])
        one.leave(tabs[0])
        wait_until(lambda: one.present(name) == ["7"])
        other.leave(tabs[1])
        wait_until(lambda: one.present(name) == other.present(name) == [])
        told = [about for worker in pair for about in worker.told() if about[1] == name]
        wait_until(lambda: [about for about in other.told() if about[1] == name])
        told = [about for worker in pair for about in worker.told() if about[1] == name]
        assert sorted(about[0] for about in told) == ["join", "leave"]

    @pytest.mark.measures
    @pytest.mark.slow
    def test_is_right_within_a_second_after_a_process_is_killed(self, start, own_redis, name):
        victim, *others = [start(own_redis.url) for _ in range(3)]
        for worker in others:
            worker.follow_as(name, "stays")
        for owner in ("a", "b"):
            victim.follow_as(name, owner)
        wait_until(lambda: others[0].present(name) == ["a", "b", "stays"])
        killed_at = time.monotonic()
        victim.kill()

        def left():
            return sorted(
                about[2]
                for worker in others
                for about in worker.told()
                if about[:2] == ["leave", name]
            )

        wait_until(lambda: left() == ["a", "b"])
        assert time.monotonic() - killed_at < 1
        assert others[0].present(name) == ["stays"]
        # They do not leave twice.
        time.sleep(0.6)
        assert left() == ["a", "b"]

    def test_of_a_killed_process_ends_once_though_several_requests_find_it_out_at_the_same_time(
        self, start, own_redis, open_channels, name, monkeypatch
    ):
        victim = start(own_redis.url)
        victim.follow_as(name, "a")
        channels, left = open_channels(own_redis.url), []
        channels.on_leave(lambda _name, owner, _details: left.append(owner))
        Reader(channels, name, owner="b")
        wait_until(lambda: len(channels.present(name)) == 2)

        def run_slowly(client, *calls):
            outcomes = scripts_of_redis.run(client, *calls)
            if calls[0][0] is presence_scripts.LEAVE:
                client.turns.sleep(0.3)
            return outcomes

        monkeypatch.setattr(other_workers, "run", run_slowly)
        victim.kill()
        with ThreadPoolExecutor() as threads:
            seen = list(threads.map(channels.present, [name] * 4))
        assert [[each.owner for each in present] for present in seen] == [["b"]] * 4
        wait_until(lambda: left)
        assert left == ["a"]

    def test_is_told_by_a_process_that_wants_to_know(self, start, own_redis, open_channels, name):
        victim, other = start(own_redis.url), start(own_redis.url)
        victim.follow_as(name, "a")
        other.follow_as(name, "b")
        bystander = open_channels(own_redis.url)
        Reader(bystander, name, owner="c")
        wait_until(lambda: other.present(name) == ["a", "b", "c"])
        # It finds out first: the other one is held up.
        other.suspend()
        victim.kill()
        wait_until(lambda: [each.owner for each in bystander.present(name)] == ["b", "c"])
        other.resume()
        wait_until(lambda: ["leave", name, "a", {}] in other.told())

    @pytest.mark.slow
    def test_is_told_also_where_redis_stands_still_and_a_reply_gets_lost(self, open_channels, name):
        with RedisServer("--enable-debug-command", "yes") as redis:
            channels, told = open_channels(redis.url), []
            channels.on_leave(lambda *about: told.append(about[1]))
            reader, first = [Reader(channels, name, owner=owner) for owner in ("a", "b")]
            first.leave()
            wait_until(lambda: told == ["b"])
            with in_background(lambda: redis.client.execute_command("DEBUG", "SLEEP", 3)):
                time.sleep(0.1)  # It stands still from here on, for longer than a reply may take.
                reader.leave()
            wait_until(lambda: told == ["b", "a"])

    def test_of_a_reader_that_leaves_at_once_ends_though_redis_has_lost_a_script(
        self, own_redis, open_channels, name
    ):
        channels = open_channels(own_redis.url)
        Reader(channels, name, owner="stays")
        wait_until(lambda: channels.present(name))
        own_redis.client.script_flush()
        own_redis.client.script_load(presence_scripts.LEAVE.text)
        Reader(channels, name, owner="goes").leave()
        assert [each.owner for each in channels.present(name)] == ["stays"]

    def test_of_a_reader_that_stays_for_days_is_renewed(
        self, own_redis, open_channels, name, monkeypatch
    ):
        monkeypatch.setattr(presence, "_RENEW_SECONDS", 0.1)
        channels = open_channels(own_redis.url)
        Reader(channels, name, owner="a")
        wait_until(lambda: channels.present(name))
        keys = (readers_key(name), owners_key(name))
        for key in keys:
            own_redis.client.expire(key, 60)
        wait_until(lambda: min(map(own_redis.client.ttl, keys)) > 3600)

    def test_is_right_for_a_program_that_has_no_readers_itself(self, start, open_channels, name):
        victim = start()
        victim.follow_as(name, "a")
        channels = open_channels()
        wait_until(lambda: channels.present(name))
        victim.kill()
        asked_at = time.monotonic()
        assert channels.present(name) == []
        # By itself the lease ends after six seconds.
        assert time.monotonic() - asked_at < 4

    @pytest.mark.slow
    def test_outlives_a_connection_that_breaks(self, start, redis, name):
        one, other = start(), start()
        one.follow_as(name, "a")
        other.follow_as(name, "b")
        wait_until(lambda: other.present(name) == ["a", "b"])
        for _ in range(3):
            redis.client.client_kill_filter(_type="pubsub")
            time.sleep(0.3)
        assert other.present(name) == ["a", "b"]
        told = [about[0] for about in [*one.told(), *other.told()] if about[1] == name]
        assert told == ["join", "join"]

    @pytest.mark.slow
    def test_comes_back_after_redis_was_flushed(self, own_redis, start, name):
        worker = start(own_redis.url)
        worker.follow_as(name, "a")
        wait_until(lambda: worker.present(name) == ["a"])
        own_redis.client.flushall()
        wait_until(lambda: worker.present(name) == ["a"])

    @pytest.mark.slow
    def test_of_a_process_that_stood_still_ends_and_comes_back(self, start, own_redis, name):
        sleeper, other = start(own_redis.url), start(own_redis.url)
        sleeper.follow_as(name, "sleeper")
        other.follow_as(name, "other")
        wait_until(lambda: other.present(name) == ["other", "sleeper"])
        sleeper.suspend()
        wait_until(lambda: ["leave", name, "sleeper", {}] in other.told(), 15)
        sleeper.resume()
        wait_until(lambda: other.present(name) == ["other", "sleeper"])

    @pytest.mark.slow
    def test_outlives_a_host_that_stands_still_for_longer_than_a_lease(
        self, start, own_redis, name
    ):
        workers = [start(own_redis.url) for _ in range(2)]
        for worker, owner in zip(workers, ("a", "b"), strict=True):
            worker.follow_as(name, owner)
        wait_until(lambda: all(worker.present(name) == ["a", "b"] for worker in workers))
        for worker in workers:
            worker.suspend()
        leases = own_redis.client.keys(lease_key("*"))
        own_redis.client.delete(*leases)
        time.sleep(1.5)
        # One of them goes on sooner than the other.
        for worker in workers:
            worker.resume()
            time.sleep(1.5)
        wait_until(lambda: own_redis.client.exists(*leases) == 2)
        assert all(worker.present(name) == ["a", "b"] for worker in workers)
        told = [about[0] for worker in workers for about in worker.told()]
        assert "leave" not in told

    def test_of_a_process_that_ends_in_order_ends_at_once(self, start, open_channels, name):
        channels = open_channels()
        Reader(channels, name, owner="a")
        other = start()
        wait_until(lambda: other.present(name) == ["a"])
        channels.close()
        assert other.present(name) == []


_WITHOUT_OTHERS = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"flask", "werkzeug", "gevent", "greenlet", "gunicorn", "urllib3", "prometheus_client"}:
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
import threading
from flask_sluice import Channels

channels = Channels(sys.argv[1])
for number in range(3):
    channels.publish(sys.argv[2], number)
print(threading.active_count())
"""


class TestAPublisher:
    def test_needs_neither_flask_nor_gevent_and_starts_no_thread(self, redis, pair, name):
        reader = pair[0].follow([name])
        published = subprocess.run(
            [sys.executable, "-c", _WITHOUT_OTHERS, redis.url, name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert published.stdout == "1\n", published.stderr
        until_has(pair[0], reader, *numbers(3))

    @pytest.mark.slow
    @pytest.mark.parametrize("threads", [True, False], ids=["threads", "greenlets"])
    def test_forks_after_it_has_published_and_read(self, start, pair, name, threads):
        worker = start(threads=threads)
        worker.publish(name, 0)
        worker.follow([name])
        reader = pair[0].follow([name])
        worker.fork()
        worker.publish(name, 1)
        until_has(pair[0], reader, "1")
        own = worker.follow([name])
        pair[0].publish(name, 2)
        until_has(worker, own, "2")

    def test_may_be_many_threads(self, open_channels, pair, name):
        channels = open_channels()
        reader = pair[0].follow([name])
        with in_background(
            *(
                lambda first=first: [channels.publish(name, first + n) for n in range(25)]
                for first in range(0, 200, 25)
            )
        ):
            pass
        wait_until(lambda: len(pair[0].data(reader)) >= 200)
        assert sorted(map(int, pair[0].data(reader))) == list(range(200))

    def test_is_told_where_redis_cannot_be_reached_and_nothing_of_its_url(self):
        channels = Channels("redis://:secret@127.0.0.1:1/0")
        with pytest.raises(JournalUnavailableError) as refused:
            channels.publish("news", 1)
        assert refused.value.status == 503
        assert "secret" not in str(refused.value)

    def test_with_a_url_that_cannot_be_read_is_told_so_at_once(self):
        with pytest.raises(ValueError, match="Redis URL"):
            Channels("localhost:6379")


class TestKeys:
    def test_expire_all_of_them(self, own_redis, open_channels, name):
        redis, channels = own_redis, open_channels(own_redis.url, history_seconds=50)
        Reader(channels, name, owner="a")
        channels.publish(name, 1)
        wait_until(lambda: channels.present(name))
        keys = [key.decode() for key in redis.client.scan_iter()]
        assert len(keys) == 8
        for key in keys:
            assert redis.client.ttl(key) > 0, key
        # The last id outlives the events.
        assert redis.client.ttl(f"sluice:channel:{{{name}}}") <= 50
        assert redis.client.ttl(f"sluice:channel:{{{name}}}:last") > 3600

    def test_do_not_grow_by_publishers_that_are_gone(
        self, own_redis, open_channels, name, monkeypatch
    ):
        monkeypatch.setattr(store, "_REPEAT_MS", 20)
        for _ in range(5):
            channels = open_channels(own_redis.url)
            channels.publish(name, 0)
            channels.close()
        own = open_channels(own_redis.url)

        def publishers():
            own.publish(name, 1)
            fields = own_redis.client.hkeys(f"sluice:channel:{{{name}}}:last")
            return sum(field.startswith(b"p:") for field in fields)

        wait_until(lambda: publishers() == 1)

    def test_of_the_last_id_outlive_a_history_that_is_kept_for_days(
        self, redis, open_channels, name
    ):
        channels = open_channels(history_seconds=3 * 24 * 3600)
        channels.publish(name, 1)
        events = redis.client.ttl(f"sluice:channel:{{{name}}}")
        assert redis.client.ttl(f"sluice:channel:{{{name}}}:last") > events > 2 * 24 * 3600

    def test_of_a_channel_are_in_one_slot_of_a_cluster(self, redis, open_channels):
        for name in ("user:7", "a}b{c", "}", "{}"):
            channels = open_channels()
            Reader(channels, name, owner="a")
            channels.publish(name, 1)
            wait_until(lambda: channels.present(name))  # noqa: B023
        tags = {
            key.partition(b"{")[2].partition(b"}")[0]
            for key in redis.client.scan_iter("sluice:channel:{*")
        }
        # Redis takes what stands between the first braces, and the whole key where that is nothing.
        assert b"" not in tags
        assert {b"user:7", b"a%7Db%7Bc", b"%7D", b"%7B%7D"} <= tags


def test_looking_whether_redis_works_again_changes_no_channel(own_redis, open_channels):
    publisher, name = open_channels(own_redis.url), "check"
    first_id = publisher.publish(name, 1)
    own_redis.kill()
    with pytest.raises(JournalUnavailableError):
        publisher.publish(name, "lost")
    own_redis.start()
    second_id = publisher.publish(name, 2)
    reader = Reader(open_channels(own_redis.url), name, last_event_id=first_id)
    assert reader.received == f"id: {second_id}\ndata: 2\n\n".encode()


def test_a_right_that_is_missing_is_named_in_the_log(own_redis, open_channels, name, caplog):
    own_redis.client.execute_command(
        "ACL", "SETUSER", "user", "on", ">word", "~*", "+@all", "-publish"
    )
    channels = open_channels(f"unix://user:word@{own_redis.socket}")
    with pytest.raises(JournalUnavailableError):
        channels.publish(name, 1)
    assert "Redis refuses commands" in caplog.text


@pytest.fixture
def limited_url(own_redis):
    """Return a function that makes a user who lacks some rights. It returns a URL with that user."""

    def limited_url_(*missing):
        rights = ("~sluice:*", "&sluice:*", "+@all", *missing)
        own_redis.client.execute_command("ACL", "SETUSER", "user", "on", ">word", *rights)
        return f"unix://user:word@{own_redis.socket}"

    return limited_url_


@pytest.mark.slow
def test_presence_needs_no_right_to_count_subscribers(own_redis, start, limited_url, name):
    url = limited_url("-pubsub")
    victim, other = start(url), start(url)
    victim.follow_as(name, "a")
    wait_until(lambda: own_redis.client.keys(lease_key("*")))
    (lease,) = own_redis.client.keys(lease_key("*"))
    other.follow_as(name, "b")
    wait_until(lambda: other.present(name) == ["a", "b"])
    victim.kill()
    # It ends by itself, after six seconds.
    own_redis.client.delete(lease)
    wait_until(lambda: ["leave", name, "a", {}] in other.told())
    assert other.present(name) == ["b"]


@pytest.mark.slow
def test_a_user_who_may_not_subscribe_publishes_and_is_told_why_there_are_no_readers(
    limited_url, open_channels, name, caplog
):
    channels = open_channels(limited_url("-subscribe"))
    channels.publish(name, 1)
    with pytest.raises(JournalUnavailableError):
        channels.follow([name], "", lambda: None)
    assert "NOPERM" in caplog.text
    assert "subscribe" in caplog.text


@pytest.mark.slow
def test_a_user_who_may_not_hear_these_channels_is_told_so(
    limited_url, open_channels, name, caplog
):
    channels = open_channels(limited_url("resetchannels", "&other:*"))
    with pytest.raises(JournalUnavailableError):
        channels.follow([name], "", lambda: None)
    assert "NOPERM" in caplog.text
