"""The journal: nothing admitted is forgotten, whatever happens to process, disk or file."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.journal import Journal, count_open, remains_of_the_dead

ROOT = Path(__file__).resolve().parent.parent.parent


def admission(number, **more):
    return {"id": f"req_{number:04}", "at": 1_700_000_000.5, "model": "gpt-4o", **more}


def record(number, **more):
    return admission(number, status=200, **more)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def journal(directory):
    opened = Journal(directory)
    yield opened
    opened.close()


def files(directory):
    return sorted(directory.glob("*.journal"))


def abandon(journal):
    """End the journal as kill -9 does: its locks go, its files stay."""
    for segment in journal._segments:
        os.close(segment.descriptor)
    journal._segments = []


def replayable(directory):
    """The ids that a new process finds: (settled, unsettled)."""
    found = remains_of_the_dead(directory)
    for descriptor in found.descriptors:
        os.close(descriptor)
    return sorted(found.settled), sorted(found.unsettled)


# ----------------------------------------------------------------------------- the way of a call


def test_nothing_is_written_before_the_first_call(directory):
    Journal(directory).close()
    assert not directory.exists()


def test_a_call_is_open_until_it_settles(journal, directory):
    journal.admit(admission(1))
    journal.admit(admission(2))
    assert (journal.open_count, journal.waiting_count, count_open(directory)) == (2, 0, 2)
    journal.settle(record(1))
    assert (journal.open_count, journal.waiting_count, count_open(directory)) == (1, 1, 1)


def test_settled_records_are_taken_oldest_first_and_stay_until_stored(journal):
    for number in range(5):
        journal.admit(admission(number))
        journal.settle(record(number))
    batch = journal.take(3)
    assert [r["id"] for r in batch] == ["req_0000", "req_0001", "req_0002"]
    assert journal.take(3) == batch
    journal.stored(batch)
    assert [r["id"] for r in journal.take(9)] == ["req_0003", "req_0004"]


def test_the_line_is_on_disk_before_admit_returns(journal, directory):
    journal.admit(admission(1))
    assert b"req_0001" in files(directory)[0].read_bytes()


def test_a_journal_is_readable_by_its_owner_alone(journal, directory):
    journal.admit(admission(1))
    assert files(directory)[0].stat().st_mode & 0o777 == 0o600


def test_sync_needs_no_file(journal):
    journal.sync()
    journal.admit(admission(1))
    journal.sync()


def test_closing_keeps_what_matters_and_deletes_what_does_not(directory):
    kept, done = Journal(directory), Journal(directory)
    for journal in (kept, done):
        journal.admit(admission(1))
        journal.settle(record(1))
    done.stored(done.take(9))
    done.close()
    assert len(files(directory)) == 1
    kept.close()
    assert replayable(directory) == (["req_0001"], [])


# ----------------------------------------------------------------------------- segments


def test_a_full_file_is_followed_by_another(directory):
    journal = Journal(directory, segment_bytes=150)
    for number in range(10):
        journal.admit(admission(number))
    assert len(files(directory)) > 2
    assert count_open(directory) == 10
    journal.close()


def test_a_file_goes_only_when_everything_it_speaks_of_is_stored(directory):
    journal = Journal(directory, segment_bytes=1)  # a file for each line
    for number in range(3):
        journal.admit(admission(number))
    for number in range(3):
        journal.settle(record(number))
    assert len(files(directory)) == 6
    journal.stored(journal.take(2))
    assert len(files(directory)) == 2, "admission and settlement of the third"
    journal.stored(journal.take(9))
    assert len(files(directory)) <= 1, "only the newest file stays, to be appended to"
    journal.close()
    assert files(directory) == []


def test_an_open_call_holds_its_file_however_much_follows(directory):
    journal = Journal(directory, segment_bytes=200)
    journal.admit(admission(0))
    for number in range(1, 50):
        journal.admit(admission(number))
        journal.settle(record(number))
        journal.stored(journal.take(9))
    abandon(journal)
    settled, unsettled = replayable(directory)
    assert unsettled == ["req_0000"]
    assert len(settled) < 10, "files of stored calls went"


# ----------------------------------------------------------------------------- after a crash


def test_a_live_journal_is_not_touched(journal, directory):
    journal.admit(admission(1))
    found = remains_of_the_dead(directory)
    assert (found.paths, found.settled, found.unsettled) == ([], {}, {})
    assert len(files(directory)) == 1


def test_replay_finds_settled_and_unsettled_across_files(directory):
    journal = Journal(directory, segment_bytes=1)
    for number in range(4):
        journal.admit(admission(number))
    journal.settle(record(2))
    abandon(journal)
    assert replayable(directory) == (["req_0002"], ["req_0000", "req_0001", "req_0003"])


def test_replay_takes_all_dead_workers_and_discards_their_files(directory):
    for number in range(3):
        journal = Journal(directory)
        journal.admit(admission(number))
        abandon(journal)
    found = remains_of_the_dead(directory)
    assert len(found.unsettled) == 3
    found.discard()
    assert files(directory) == []


def test_two_processes_do_not_replay_the_same_file(directory):
    journal = Journal(directory)
    journal.admit(admission(1))
    abandon(journal)
    first, second = remains_of_the_dead(directory), remains_of_the_dead(directory)
    assert list(first.unsettled) == ["req_0001"]
    assert second.paths == []
    first.discard()


def test_a_killed_process_leaves_its_journal(directory):
    code = (
        "import os, signal, sys; from pathlib import Path; from gateway.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for n in range(100): journal.admit({'id': f'req_{n:04}'})\n"
        "for n in range(60): journal.settle({'id': f'req_{n:04}'})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, directory], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    settled, unsettled = replayable(directory)
    assert (len(settled), len(unsettled)) == (60, 40)


def test_nothing_is_reported_of_a_directory_that_is_not_there(directory):
    assert count_open(directory) == 0
    assert remains_of_the_dead(directory).paths == []


# ----------------------------------------------------------------------------- damage


def written(directory, count=3):
    """The file of a dead worker with `count` settled calls."""
    journal = Journal(directory)
    for number in range(count):
        journal.settle(record(number))
    abandon(journal)
    return files(directory)[0]


@pytest.mark.parametrize("lost", [1, 2, 20, 40])
def test_a_torn_last_line_is_ignored_silently(directory, caplog, lost):
    path = written(directory)
    path.write_bytes(path.read_bytes()[:-lost])
    with caplog.at_level(logging.WARNING):
        settled, _ = replayable(directory)
    # Losing just the line's end leaves its content intact.
    assert settled == ["req_0000", "req_0001"] + (["req_0002"] if lost == 1 else [])
    assert caplog.records == []


def test_every_flipped_bit_is_noticed_and_costs_one_line(directory, caplog):
    path = written(directory)
    whole = path.read_bytes()
    second = range(whole.index(b"\n") + 1, whole.index(b"\n", whole.index(b"\n") + 1))
    for position in second:
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        caplog.clear()
        settled, unsettled = replayable(directory)
        assert (settled, unsettled) == (["req_0000", "req_0002"], []), position
        assert "journal line damaged" in caplog.text
        assert caplog.records[0].line in (2, 3)


def test_garbage_between_lines_is_skipped_and_reported(directory, caplog):
    path = written(directory)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00\xff garbage\n" + lines[1] + b"\n\n" + lines[2])
    assert replayable(directory)[0] == ["req_0000", "req_0001", "req_0002"]
    assert [r.line for r in caplog.records] == [2]


def test_a_line_cut_short_by_a_full_disk_costs_only_itself(journal, directory):
    """RLIMIT_FSIZE cuts a write exactly as a full disk does."""
    journal.admit(admission(1))
    size = files(directory)[0].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(OSError):
            journal.admit(admission(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.admit(admission(3))
    assert journal.open_count == 2
    abandon(journal)
    assert replayable(directory) == ([], ["req_0001", "req_0003"])


def test_a_settlement_that_could_not_be_written_still_reaches_the_database(journal, directory):
    journal.admit(admission(1))
    size = files(directory)[0].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(OSError):
            journal.settle(record(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (journal.open_count, journal.waiting_count) == (0, 1)
