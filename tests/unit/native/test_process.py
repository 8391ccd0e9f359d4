"""What a process has of Flux: one link for each ticket and cluster, opened anew when it is of no use."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from types import SimpleNamespace

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.native import process as process_module
from flux_actors.native.process import Process, here
from flux_actors.native.ticket import Ticket


class Cluster:
    """Where a process is, and what it opened there."""

    def __init__(self):
        self.name = "one"
        self.opened = []
        self.closed = []
        self.entered = 0
        self.error = None

    async def open(self, ticket):
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        link = SimpleNamespace(ticket=ticket, usable=True)

        async def close():
            self.closed.append(link)

        link.close = close
        self.opened.append(link)
        return link

    def enter(self):
        self.entered += 1
        self.name = self.name or "joined"


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def process(cluster):
    process = Process(cluster.open, lambda: cluster.name, cluster.enter)
    yield process
    process.close()


def test_a_ticket_has_one_link_however_many_want_it(process, cluster):
    async def many():
        return await asyncio.gather(*(process.link(Ticket("a")) for _ in range(5)))

    links = process.thread.run(many())
    assert len(cluster.opened) == 1
    assert all(link is links[0] for link in links)
    process.thread.run(process.link(Ticket("b")))
    assert [link.ticket.token for link in cluster.opened] == ["a", "b"]
    assert cluster.entered == 0
    process.enter()
    assert cluster.entered == 1


def test_a_handle_that_comes_to_a_process_outside_has_it_join(process, cluster):
    cluster.name = ""
    process.thread.run(process.link(Ticket()))
    process.thread.run(process.link(Ticket()))
    assert (cluster.entered, len(cluster.opened)) == (1, 1)


def test_one_that_could_not_be_opened_is_tried_anew(process, cluster):
    cluster.error = Unavailable("no router")
    for _ in range(2):
        with pytest.raises(Unavailable):
            process.thread.run(process.link(Ticket()))
    cluster.error = Refused("no token", 401)
    with pytest.raises(Refused):
        process.thread.run(process.link(Ticket()))
    cluster.error = None
    assert process.thread.run(process.link(Ticket())).usable


def test_one_that_the_log_has_shut_out_is_opened_anew(process, cluster):
    first = process.thread.run(process.link(Ticket()))
    first.usable = False
    assert process.thread.run(process.link(Ticket())) is not first


def test_another_cluster_has_its_own(process, cluster):
    first = process.thread.run(process.link(Ticket()))
    cluster.name = "other"
    assert process.thread.run(process.link(Ticket())) is not first


def test_who_gives_up_waiting_takes_no_link_from_others(process, cluster):
    async def impatient():
        task = asyncio.create_task(process.link(Ticket()))
        await asyncio.sleep(0)
        task.cancel()
        return await process.link(Ticket())

    assert process.thread.run(impatient()).usable
    assert len(cluster.opened) == 1


def test_at_the_end_all_are_closed_and_the_thread_ends(cluster):
    process = Process(cluster.open, lambda: cluster.name, cluster.enter)
    process.thread.run(process.link(Ticket()))
    process.close()
    assert cluster.closed == cluster.opened
    with pytest.raises(Unavailable):
        process.thread.run(process.link(Ticket()))
    process.close()


def test_it_is_the_same_in_a_process_and_another_in_its_child():
    mine = here()
    assert here() is mine
    reader, writer = multiprocessing.Pipe()
    child = os.fork()
    if not child:
        other = here()
        writer.send((other is mine, other.pid, other.thread.run(_one())))
        os._exit(0)
    assert reader.poll(10)
    assert reader.recv() == (False, child, 1)
    os.waitpid(child, 0)
    assert here() is mine


async def _one():
    await asyncio.sleep(0)
    return 1


def test_it_opens_links_with_the_routers_introduction(monkeypatch):
    asked = []

    async def introduce(token):
        asked.append(token)
        return token

    async def open_link(ticket, introduction, again):
        return ticket, introduction, await again()

    monkeypatch.setattr(process_module, "introduce", introduce)
    monkeypatch.setattr(process_module, "open_link", open_link)
    assert asyncio.run(process_module._open(Ticket("secret"))) == (  # noqa: SLF001
        Ticket("secret"),
        "secret",
        "secret",
    )
    assert asked == ["secret", "secret"]
