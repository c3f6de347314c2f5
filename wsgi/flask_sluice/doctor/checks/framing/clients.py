"""What clients that people use make of the stream, where they differ from the standard.

Each note was read in the source of the version that it names.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from flask_sluice.doctor.checks.framing.making import make
from flask_sluice.doctor.checks.wording import counted
from flask_sluice.doctor.events import EventLog, Line, TimedEvent
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.remedies import clients as remedies
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.report import Check

_SCANNER_BYTES = 65_536
_MODELS = ("openai", "anthropic")


@dataclass(frozen=True)
class _Note:
    """One habit of the stream that some clients do not bear."""

    number: str
    count: int
    evidence: str
    remedies: tuple[Remedy, ...]


def clients(log: EventLog, preset: Preset) -> Check:
    """One line for all habits that some clients do not bear."""
    notes = [*_notes_of_blocks(log, preset), *_notes_of_events(log, preset)]
    if notes:
        return make.warning(
            "clients",
            " ".join(note.evidence for note in notes),
            [remedy for note in notes for remedy in note.remedies],
            **{note.number: note.count for note in notes},
        )
    if not log.events:
        return make.skipped("clients", "No event came that a client could take.")
    return make.ok(
        "clients",
        f"Nothing in {counted(len(log.events), 'event')} that clients stumble over.{_named(log)}",
    )


def _notes_of_blocks(log: EventLog, preset: Preset) -> Iterator[_Note]:
    comments = sum(all(line.is_comment for line in block) for block in log.blocks)
    if comments:
        has_ids = any(event.event.id for event in log.events)
        after_ids = (
            ", and, after an event with an id, httpx-sse 0.4 and openai-python 3.3" * has_ids
        )
        anthropic = "" if preset.name == "anthropic" else " and openai-go before 3.43"
        yield _Note(
            "blank_lines_after_comments",
            comments,
            f"There is a blank line behind {counted(comments, 'comment')}: fetch-event-source 2.0{anthropic} make an empty event of "
            f"each{after_ids}.",
            remedies.BLANK_LINE_AFTER_COMMENT,
        )
    bare = sum(_has_no_data(block) for block in log.blocks)
    if bare:
        yield _Note(
            "blocks_without_data",
            bare,
            f"There is no data in {counted(bare, 'block')} (only id, retry or event): fetch-event-source 2.0, "
            "httpx-sse 0.4 and openai-go before 3.43 make an empty event of each.",
            remedies.BLOCK_WITHOUT_DATA,
        )


def _has_no_data(block: tuple[Line, ...]) -> bool:
    fields = {line.field for line in block}
    return "data" not in fields and bool(fields & {"event", "id", "retry"})


def _notes_of_events(log: EventLog, preset: Preset) -> Iterator[_Note]:
    long = max((len(line.text) for line in log.whole_lines), default=0)
    if long > _SCANNER_BYTES:
        count = sum(len(line.text) > _SCANNER_BYTES for line in log.whole_lines)
        yield _Note(
            "long_lines",
            count,
            f"More than 64 KiB stand in {counted(count, 'line')} (up to {long:,} bytes): Go's bufio.Scanner, as langchaingo and many "
            "programs use it, stops there with an error.",
            remedies.LONG_LINES,
        )
    if preset.name in _MODELS:
        yield from _notes_of_lines(log)
    if preset.name == "openai":
        yield from _notes_of_done(log)
    if preset.name == "anthropic":
        yield from _notes_of_names(log)


def _notes_of_lines(log: EventLog) -> Iterator[_Note]:
    lines = [line for line in log.whole_lines if line.field == "data"]
    tight = sum(line.text.startswith(b"data:") and line.text[5:6] != b" " for line in lines)
    if tight:
        yield _Note(
            "data_without_space",
            tight,
            f"No space follows `data:` in {counted(tight, 'line')}: right by the standard, but programs that look for "
            "`data: ` (BetterChatGPT, many examples) do not see them.",
            remedies.NO_SPACE_AFTER_DATA,
        )
    several = sum(_data_line_count(log, event) > 1 for event in log.events)
    if several:
        yield _Note(
            "events_of_several_lines",
            several,
            f"Several data lines stand in {counted(several, 'event')}: go-openai 1.42 and langchaingo take each for a chunk.",
            remedies.SEVERAL_DATA_LINES,
        )


def _data_line_count(log: EventLog, event: TimedEvent) -> int:
    return sum(line.field == "data" for line in log.lines_of(event))


def _notes_of_done(log: EventLog) -> Iterator[_Note]:
    done = [n for n, event in enumerate(log.events) if event.event.data.strip() == "[DONE]"]
    if not done:
        return
    spaced = sum(log.events[n].event.data != "[DONE]" for n in done)
    if spaced:
        yield _Note(
            "done_with_spaces",
            spaced,
            "`[DONE]` has spaces around it: openai-node 7.5 compares it exactly, and fails to parse it as JSON.",
            remedies.SPACES_AROUND_DONE,
        )
    if len(done) > 1:
        yield _Note(
            "done_count",
            len(done),
            f"`[DONE]` comes {len(done)} times: clients stop at the first, so a gateway and its upstream each send one.",
            remedies.DONE_TWICE,
        )
    after = sum(event.event.data.strip() != "[DONE]" for event in log.events[done[0] :])
    if after:
        yield _Note(
            "events_after_done",
            after,
            f"`[DONE]` is followed by {counted(after, 'event')}: OpenAI's clients have stopped reading by then.",
            remedies.EVENTS_AFTER_DONE,
        )


def _notes_of_names(log: EventLog) -> Iterator[_Note]:
    unnamed = sum(event.event.event == "message" for event in log.events)
    if unnamed:
        yield _Note(
            "events_without_name",
            unnamed,
            f"No event line is there in {counted(unnamed, 'event')}: anthropic-sdk-go 1.60 goes by it and skips what has none.",
            remedies.NO_EVENT_LINE,
        )


def _named(log: EventLog) -> str:
    """A remark on events that onmessage does not see, which may well be meant."""
    names = dict.fromkeys(event.event.event for event in log.events)
    if "message" in names:
        return ""
    shown = ", ".join(list(names)[:3])
    return f" All have a name ({shown}), so an EventSource needs addEventListener for them: onmessage sees none."
