"""Channels that are published in, with readers that come and go, while a test disturbs Redis."""

from contextlib import ExitStack

from tests.support.judged_channels.worker import JudgedChannelWorker
from tests.support.server import wait_until

_STEP_SECONDS = 30.0
HOST_OWNERS = ["host-0", "host-1"]
VICTIM = "victim-0"


class ChannelScenario:
    """Begins with readers that receive what is published, and with owners that are in all channels.

    with ChannelScenario(redis.url, names) as scenario:
        redis.kill()
        scenario.until_all_go_on()
        scenario.judge()

    It has one process with two workers, which publishes and has all readers, and a process with a third one, which can be killed.

    url: of what is disturbed
    names: of the channels
    readers: how many each channel has
    """

    def __init__(self, url, names, *, readers=13, per_second=50.0):
        self.names = names
        self._url = url
        self._readers = readers
        self._per_second = per_second
        self._stack = ExitStack()

    def __enter__(self):
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _begin(self):
        start = self._stack.enter_context
        self.host = start(JudgedChannelWorker(self._url, workers=2))
        self.victim = start(JudgedChannelWorker(self._url, workers=1))
        self.host.stay(self.names, "host")
        self.victim.stay(self.names, "victim")
        self.until_present([*HOST_OWNERS, VICTIM])
        self.host.read(self.names, self._readers)
        self.host.publish(self.names, self._per_second)
        self.until_all_go_on()

    def until_all_go_on(self, names=None):
        """Wait until readers on all workers have heard what is published from now on."""
        published = self.host.published()

        def have_heard():
            heard = self.host.heard()
            return all(heard[name] > published[name] for name in names or self.names)

        wait_until(have_heard, _STEP_SECONDS, lambda: f"{self.host.heard()} of {published}")

    def until_present(self, owners, seconds=_STEP_SECONDS):
        """Wait until all workers see these owners in all channels."""
        for name in self.names:
            wait_until(
                lambda: self.host.present(name) == [sorted(owners)] * 2,  # noqa: B023
                seconds,
                lambda: str(self.host.present(name)),  # noqa: B023
            )

    @property
    def leases(self):
        """The keys of the leases of all three workers."""
        return [*self.host.leases(), *self.victim.leases()]

    def judge(self, *, kills=True, leave_seconds=8.0):
        """Raise AssertionError where a reader has missed an event in silence or got one twice, or presence is not right.

        kills: whether to kill a worker, too, and wait until it is told that its owner has left each channel
        leave_seconds: how long this may take; a disturbed worker trusts others for five seconds
        """
        faults = self.host.end(_STEP_SECONDS)
        assert faults == [], faults[:3]
        self.until_present([*HOST_OWNERS, VICTIM])
        assert not (told := self.host.told()), told
        if not kills:
            return
        self.victim.kill()
        self.until_present(HOST_OWNERS, leave_seconds)
        expected = sorted([name, VICTIM] for name in self.names)
        wait_until(lambda: len(self.host.told()) >= len(expected), leave_seconds)
        # Both of the others may have seen it; only one tells.
        told = sorted(self.host.told())
        assert told == expected, told
