"""What workers tell each other, and which of them takes the next connection."""

import pytest

from flask_sluice.server import worker_board
from flask_sluice.server.worker_board import Stage, WorkerBoard


@pytest.fixture
def board():
    return WorkerBoard()


def serving(board, load=0, limit=None):
    row = board.add_worker()
    row.stage = Stage.SERVING
    row.show(load, streams=load, limit=limit)
    return row


def test_a_worker_that_ended_as_told_is_no_death(board):
    row = serving(board)
    row.stage = Stage.ENDED
    board.remove_worker(row)
    assert (board.starts, board.deaths) == (1, 0)


@pytest.mark.parametrize("stage", [Stage.BOOTING, Stage.SERVING, Stage.RETIRING, Stage.DRAINING])
def test_a_worker_that_is_gone_at_any_other_stage_has_died(board, stage):
    row = serving(board)
    row.stage = stage
    board.remove_worker(row)
    assert board.deaths == 1


def test_the_streams_of_a_worker_that_dies_are_lost_and_those_of_one_that_ends_are_not(board):
    told, killed = serving(board, load=3), serving(board, load=4)
    told.stage = Stage.ENDED
    board.remove_worker(told)
    board.remove_worker(killed)
    assert board.lost_streams == 4


@pytest.mark.parametrize(
    ("stage", "takes_streams", "is_staying"),
    [
        (Stage.SERVING, True, True),
        (Stage.RETIRING, True, True),
        (Stage.LEAVING, True, False),
        (Stage.DRAINING, False, False),
    ],
)
def test_what_a_stage_says_of_the_next_stream(board, stage, takes_streams, is_staying):
    serving(board).stage = stage
    (worker,) = board.workers()
    assert (worker.takes_streams, worker.is_staying) == (takes_streams, is_staying)


def test_a_row_is_used_again_with_nothing_of_the_worker_before(board):
    board.remove_worker(serving(board, load=7, limit=9))
    row = board.add_worker()
    assert (row.number, row.stage, row.load, row.limit) == (0, Stage.BOOTING, 0, None)


def test_a_board_without_a_free_row_gives_the_one_without_a_sign_of_life_for_longest(
    board, monkeypatch
):
    monkeypatch.setattr(worker_board, "_now_ms", iter(range(10_000)).__next__)
    rows = [serving(board) for _ in range(512)]
    rows[0].show(load=0, streams=0, limit=None)
    assert board.add_worker().number == 1


def test_the_workers_that_drain_are_shown_and_take_no_streams(board):
    row = serving(board, load=3)
    row.stage = Stage.DRAINING
    (worker,) = board.workers()
    assert (worker.streams, worker.takes_streams) == (3, False)
    assert board.serving_rows() == []


def test_a_worker_without_a_sign_of_life_is_not_waited_for(board, monkeypatch):
    serving(board)
    silent_at = worker_board._now_ms() + 1100
    monkeypatch.setattr(worker_board, "_now_ms", lambda: silent_at)
    assert board.serving_rows() == []
