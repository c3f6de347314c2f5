"""What a reader received, and whether that is what it was promised: each event exactly once and in order, or told otherwise."""

from dataclasses import asdict, dataclass, field

ENDS = ("done", "error")
"""The types of terminal events: of the producer, and of the worker that ended the stream in its place."""

REFUSALS = ("not_found", "invalid_request")
"""Answers for which a client does not come again: the stream, or the event that the reader had, is gone."""

_RESET = "reset to "


@dataclass
class Reading:
    """What one reader received from the beginning to the end.

    marks: the events in order: [first, last] for numbers that follow each other, a number below zero for an event whose
        text was that of another number, and a word for all that is not a numbered event
    visits: how often it came; refused: how often it was told to come again later
    longest_silence_seconds: between two events
    longest_untold_seconds: between two events, or answers that say to come again
    """

    stream_id: str
    marks: list[list[int] | str] = field(default_factory=list)
    end_number: int = 0
    visits: int = 0
    refused: int = 0
    longest_silence_seconds: float = 0.0
    longest_untold_seconds: float = 0.0
    is_done: bool = False

    def add_number(self, number: int) -> None:
        last = self.marks[-1] if self.marks else ""
        if isinstance(last, list) and number == last[1] + 1:
            last[1] = number
        else:
            self.marks.append([number, number])

    def add(self, word: str) -> None:
        self.marks.append(word)

    def add_reset(self, oldest: int) -> None:
        """Note that the reader was told to go on with this event, since those before it are gone."""
        self.add(f"{_RESET}{oldest}")

    def add_end(self, word: str, number: int) -> None:
        self.add(word)
        self.end_number = number
        self.is_done = True

    @property
    def last_number(self) -> int:
        return max((mark[1] for mark in self.marks if isinstance(mark, list)), default=0)

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    def faults(self, last_id: int | None) -> list[str]:
        """Return what was wrong.

        last_id: the number of the terminal event; None if the producer could not write it
        """
        found = [] if self.is_done else ["is not done"]
        # A reader that leaves after a reset comes with its last event again, and is told again.
        received = position = 0
        for mark in self.marks:
            if isinstance(mark, str):
                if mark.startswith(_RESET):
                    oldest = int(mark.removeprefix(_RESET))
                    if oldest <= received + 1:
                        found.append(f"a {mark} after {received}")
                    position = oldest - 1
                elif mark not in (*ENDS, *REFUSALS):
                    found.append(mark)
                continue
            first, last = mark
            if first < 0:
                found.append(f"another event has number {-first}")
                continue
            if first <= position:
                found.append(f"{first} came again after {position}")
            elif first > position + 1:
                found.append(f"{position + 1} to {first - 1} are missing")
            received = position = last
        return found + self._faults_of_end(position, last_id)

    def _faults_of_end(self, position: int, last_id: int | None) -> list[str]:
        if not self.is_done:
            return []
        ends = [mark for mark in self.marks if mark in (*ENDS, *REFUSALS)]
        if len(ends) != 1 or self.marks[-1] != ends[0]:
            return [f"its end is {ends}"]
        if ends[0] != "done":
            return []
        if last_id is None:
            return ["has the end that its producer could not write"]
        if self.end_number != last_id:
            return [f"the terminal event has number {self.end_number}, not {last_id}"]
        is_whole = self.end_number == position + 1
        return [] if is_whole else [f"{position + 1} to {last_id - 1} are missing"]

    @property
    def outcome(self) -> str:
        """In one word: exact, reset, error, or a refusal's code."""
        end = self.marks[-1] if self.marks else ""
        if isinstance(end, str) and end != "done":
            return end
        was_reset = any(isinstance(mark, str) and mark.startswith(_RESET) for mark in self.marks)
        return "reset" if was_reset else "exact"


@dataclass
class Judgement:
    """What a scenario has found.

    outcomes: how many readers had each; see ``Reading.outcome``
    silence_seconds: the longest that a reader was without an event
    logs: what each process has logged
    timeline: all of that, with the time of day
    """

    readings: list[Reading]
    faults: list[str]
    logs: list[list[str]]
    timeline: list[str]

    @property
    def outcomes(self) -> dict[str, int]:
        found = [reading.outcome for reading in self.readings]
        return {outcome: found.count(outcome) for outcome in sorted(set(found))}

    @property
    def silence_seconds(self) -> float:
        return max(reading.longest_silence_seconds for reading in self.readings)

    def __str__(self) -> str:
        return "\n".join(
            [
                *self.faults,
                f"{self.outcomes}, silent for {self.silence_seconds:.1f} s",
                *self.timeline,
            ]
        )

    @property
    def untold_seconds(self) -> float:
        """The longest that a reader got neither an event nor an error."""
        return max(reading.longest_untold_seconds for reading in self.readings)

    @property
    def visits(self) -> int:
        return sum(reading.visits for reading in self.readings)


BEGINNINGS = ("Redis cannot be reached", "Redis refuses commands")
ENDINGS = ("Redis is reached again", "Redis takes commands again")
_OTHER_REASON = "Redis still fails"
LOSSES = ("Redis has lost", "ended for a producer that is gone")
"""What may be logged beside."""


def is_told_to_be_over(lines: list[str]) -> bool:
    """Return whether the log of a process tells of no problem that is not over."""
    told = [line for line in lines if line.startswith((*BEGINNINGS, *ENDINGS))]
    return not told or told[-1].startswith(ENDINGS)


def faults_of_log(lines: list[str], problems: int = 1) -> list[str]:
    """Return what is wrong with the log of a process: a problem is told once at its beginning and once at its end.

    problems: how many there were
    A problem may show in several ways, such as a refused connection and then READONLY; each other of them is told once.
    """
    found: list[str] = []
    others: set[str] = set()
    told = 0
    is_out = False
    for line in lines:
        if line.startswith((*BEGINNINGS, *ENDINGS)):
            begins = line.startswith(BEGINNINGS)
            found += [f"not in order: {line}"] if begins == is_out else []
            is_out = begins
            told += begins
            others.clear()
        elif line.startswith(_OTHER_REASON):
            found += [f"told again, or while all is well: {line}"] * (line in others or not is_out)
            others.add(line)
        elif not line.startswith(LOSSES):
            found.append(f"unexpected: {line}")
    if is_out or told > problems:
        found.append(f"told {told} times, and is {'on' if is_out else 'over'}: {lines}")
    return found
