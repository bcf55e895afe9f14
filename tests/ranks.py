"""Ranks without MPI: threads of this process, with the part of mpi4py's communicator that fastnn uses."""

import threading
from collections.abc import Callable
from queue import Empty, Queue
from typing import Any
from unittest import mock

from fastnn_ref.shared import shards

WAIT = 30.0         # seconds, after which a rank that waits for another one has failed


class Aborted(Exception):
    """Another rank has called Abort."""


class Job:
    """What the threads share."""

    def __init__(self, size: int) -> None:
        self.size, self.aborted = size, threading.Event()
        self.queues: dict[tuple[int, int], Queue[Any]] = {
            (source, to): Queue() for source in range(size) for to in range(size)}


class Rank:
    """A communicator: one rank of a job."""

    def __init__(self, job: Job, rank: int) -> None:
        self.job, self.rank = job, rank
        self.messages: list[int] = []           # the bytes of each that it sent

    def Get_rank(self) -> int:
        return self.rank

    def Get_size(self) -> int:
        return self.job.size

    def send(self, value: Any, to: int) -> None:
        self.job.queues[self.rank, to].put(value)

    def receive(self, source: int) -> Any:
        for _ in range(int(WAIT / 0.05)):
            if self.job.aborted.is_set():
                raise Aborted
            try:
                return self.job.queues[source, self.rank].get(timeout=0.05)
            except Empty:
                pass
        raise TimeoutError(f"rank {self.rank} waits for rank {source}")

    def Sendrecv(self, sendbuf: Any, dest: int, recvbuf: Any, source: int) -> None:
        self.messages.append(sendbuf.nbytes)
        self.send(sendbuf.copy(), dest)
        recvbuf[...] = self.receive(source)

    def allreduce(self, value: int) -> int:
        for to in range(self.job.size):
            self.send(value, to)
        return sum(self.receive(source) for source in range(self.job.size))

    def bcast(self, value: Any) -> Any:
        if self.rank == 0:
            for to in range(1, self.job.size):
                self.send(value, to)
            return value
        return self.receive(0)

    def Abort(self, code: int) -> None:
        self.job.aborted.set()


def run(size: int, work: Callable[[Rank], Any]) -> list[Any]:
    """What ``work`` returns on each rank; the error of the rank that failed first."""
    job, found, errors = Job(size), [None] * size, []

    def one(rank: int) -> None:
        try:
            found[rank] = work(Rank(job, rank))
        except BaseException as error:
            errors.append(error)
            job.aborted.set()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    with mock.patch.object(shards, "TIME_TO_READ", 0):          # nobody reads what a thread writes
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for error in errors:
        if not isinstance(error, Aborted):
            raise error
    return found
