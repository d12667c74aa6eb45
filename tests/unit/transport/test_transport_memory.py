"""Every fault of the in-memory network, alone, and the whole of it repeatable."""

from __future__ import annotations

import asyncio

import pytest

from tigertally.base.errors import (
    Locked,
    MalformedMessage,
    PeerFault,
    TigertallyError,
    Unavailable,
    UsageError,
)
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.transport.memory import Leg, MemoryNetwork
from transport_rig import HOLDER, echo


class Recorder:
    """A party that notes what arrives, and when."""

    def __init__(self):
        self.got = []

    async def __call__(self, request):
        self.got.append((request.body, asyncio.get_running_loop().time()))
        return b"re: " + request.body

    @property
    def bodies(self):
        return [body for body, _ in self.got]


@pytest.fixture
def party():
    return Recorder()


@pytest.fixture
def network(party):
    return MemoryNetwork(seed=7).connect("a", party).connect("b", key=HOLDER.public)


async def test_a_call_and_its_answer_on_any_loop(network, party):
    assert await network.channel("b", "a").call("/x", b"hi") == b"re: hi"
    assert [event.what for event in network.events] == ["sent", "answered"]


async def test_the_handler_sees_path_and_key():
    seen = []

    async def handler(request):
        seen.append((request.path, request.peer))
        return b""

    network = MemoryNetwork().connect("a", handler).connect("b", key=HOLDER.public)
    await network.channel("b", "a").call("/x", b"")
    await network.channel("c", "a").call("/y", b"")
    assert seen == [("/x", HOLDER.public), ("/y", None)]


async def test_routes_as_a_server_has_them():
    channel = MemoryNetwork().connect("a", {"/echo": echo}).channel("b", "a")
    assert await channel.call("/echo", b"1") == b"1"
    with pytest.raises(UsageError, match="without this"):
        await channel.call("/other", b"1")


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (Locked("locked"), Locked),
        (PeerFault("x", culprits=("b",), sure=True), PeerFault),
        (ValueError("secret-word"), TigertallyError),
    ],
)
async def test_errors_travel_as_they_do_over_https(raised, seen):
    async def handler(_):
        raise raised

    with pytest.raises(seen) as caught:
        await MemoryNetwork().connect("a", handler).channel("b", "a").call("/x", b"")
    assert type(caught.value) is seen
    assert caught.value is not raised
    assert "secret-word" not in str(caught.value)


async def test_nobody_there(network):
    with pytest.raises(Unavailable):
        await network.channel("b", "nobody").call("/x", b"")
    network.disconnect("a")
    with pytest.raises(Unavailable):
        await network.channel("b", "a").call("/x", b"")


async def test_too_long_a_message_is_not_sent(network, party):
    with pytest.raises(UsageError):
        await network.channel("b", "a").call("/x", bytes(MAX_MESSAGE_BYTES + 1))
    assert party.got == []


def test_a_dropped_request_never_arrives_and_the_caller_waits_in_vain(network, party):
    network.drop(times=1)

    async def main():
        channel = network.channel("b", "a")
        with pytest.raises(Unavailable):
            await channel.call("/x", b"1", wait=30)
        waited = asyncio.get_running_loop().time()
        await channel.call("/x", b"2")
        return waited

    assert network.run(main()) == pytest.approx(30)
    assert party.bodies == [b"2"]


def test_a_dropped_answer_leaves_the_work_done(network, party):
    network.drop(leg=Leg.ANSWER, times=1)

    async def main():
        with pytest.raises(Unavailable):
            await network.channel("b", "a").call("/x", b"1")

    network.run(main())
    assert party.bodies == [b"1"]


def test_a_delay_takes_virtual_time(network, party):
    network.delay(2.0, 3.0)
    network.run(network.channel("b", "a").call("/x", b"1"))
    assert 2.0 <= party.got[0][1] <= 3.0


def test_a_delay_longer_than_the_patience_is_unavailable_but_arrives(network, party):
    network.delay(5.0, 5.0, leg=Leg.ANSWER)

    async def main():
        with pytest.raises(Unavailable):
            await network.channel("b", "a").call("/x", b"1", wait=1.0)

    network.run(main())
    assert party.bodies == [b"1"]


def test_reordering_lets_later_messages_overtake(network, party):
    network.reorder(within=1.0)
    sent = [b"%d" % number for number in range(10)]

    async def main():
        channel = network.channel("b", "a")
        return await asyncio.gather(*(channel.call("/x", body) for body in sent))

    answers = network.run(main())
    assert answers == [b"re: " + body for body in sent]
    assert sorted(party.bodies) == sent
    assert party.bodies != sent


async def test_a_duplicate_is_carried_out_twice_and_answered_once(network, party):
    network.duplicate(times=1)
    channel = network.channel("b", "a")
    assert await channel.call("/x", b"1") == b"re: 1"
    await channel.call("/x", b"2")
    assert party.bodies == [b"1", b"1", b"2"]


@pytest.mark.parametrize("leg", list(Leg))
async def test_corruption_flips_exactly_one_bit(network, party, leg):
    network.corrupt(leg=leg)
    answer = await network.channel("b", "a").call("/x", bytes(64))
    got = party.bodies[0] if leg is Leg.REQUEST else answer.removeprefix(b"re: ")
    sent = bytes(64) if leg is Leg.REQUEST else b"re: " + bytes(64)
    got = got if leg is Leg.REQUEST else answer
    flipped = int.from_bytes(got, "big") ^ int.from_bytes(sent, "big")
    assert flipped.bit_count() == 1


async def test_a_corrupt_refusal_is_still_an_error_of_the_tree():
    async def handler(_):
        raise MalformedMessage("no")

    network = MemoryNetwork(seed=1).connect("a", handler).corrupt(leg=Leg.ANSWER)
    for _ in range(200):
        with pytest.raises(TigertallyError):
            await network.channel("b", "a").call("/x", b"")


async def test_equivocation_tells_every_caller_its_own_story(network):
    network.equivocate("a", lambda caller, path, answer: answer + caller.encode())
    assert await network.channel("b", "a").call("/x", b"1") == b"re: 1b"
    assert await network.channel("c", "a").call("/x", b"1") == b"re: 1c"


async def test_faults_strike_only_where_they_are_told_to(network, party):
    network.connect("d", party)
    network.duplicate(from_="b", to="a", path="/x")
    for from_, to, path in (("b", "a", "/y"), ("c", "a", "/x"), ("b", "d", "/x")):
        await network.channel(from_, to).call(path, b"")
    assert len(party.got) == 3
    await network.channel("b", "a").call("/x", b"")
    assert len(party.got) == 5


async def test_healing_removes_all_faults(network, party):
    network.duplicate().heal()
    await network.channel("b", "a").call("/x", b"")
    assert len(party.got) == 1


async def test_faults_that_take_time_say_so_on_a_real_loop(network):
    network.delay(1.0, 1.0)
    with pytest.raises(UsageError, match="virtual time"):
        await network.channel("b", "a").call("/x", b"")


@pytest.mark.parametrize("wrong", [{"chance": 1.5}, {"chance": -0.1}, {"times": -1}])
def test_a_rule_that_makes_no_sense(network, wrong):
    with pytest.raises(UsageError):
        network.drop(**wrong)


def test_a_long_poll_ends_in_virtual_time(network):
    news = asyncio.Event()

    async def poll(request):
        async with asyncio.timeout(25):
            await news.wait()
        return b"news"

    async def main():
        waiting = asyncio.create_task(network.channel("b", "p").call("/poll", b""))
        await asyncio.sleep(10)
        news.set()
        return await waiting, asyncio.get_running_loop().time()

    network.connect("p", poll)
    answer, after = network.run(main())
    assert (answer, after) == (b"news", pytest.approx(10))


def test_work_for_callers_who_gave_up_ends_with_the_run(network):
    ended = []

    async def endless(_):
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append(True)

    async def main():
        with pytest.raises(Unavailable):
            await network.channel("b", "e").call("/x", b"")

    network.connect("e", endless).run(main())
    assert ended == [True]


def a_bad_day(seed):
    """Five callers, all faults at once: what arrived, what was answered, the diary."""
    party = Recorder()
    network = MemoryNetwork(seed=seed).connect("a", party)
    network.drop(chance=0.2).drop(chance=0.1, leg=Leg.ANSWER).delay(0.0, 2.0, chance=0.5)
    network.reorder(chance=0.3).duplicate(chance=0.3).corrupt(chance=0.3)
    network.corrupt(chance=0.2, leg=Leg.ANSWER)

    async def caller(name):
        results = []
        for number in range(20):
            try:
                results.append(await network.channel(name, "a").call("/x", b"%d" % number))
            except TigertallyError as error:
                results.append(repr(error))
        return results

    async def main():
        return await asyncio.gather(*(caller(f"c{number}") for number in range(5)))

    return network.run(main()), party.got, network.events


def test_the_same_seed_gives_the_same_day_and_another_seed_another():
    assert a_bad_day(1) == a_bad_day(1)
    assert a_bad_day(1) != a_bad_day(2)
    whats = {event.what for event in a_bad_day(1)[2]}
    assert whats >= {"drop", "delay", "reorder", "duplicate", "corrupt", "sent", "answered"}


def test_what_happens_on_one_link_does_not_depend_on_the_others():
    def faults_of_b(others):
        network = MemoryNetwork(seed=3).connect("a", echo).corrupt(chance=0.5)

        async def main():
            for number in range(30):
                for other in range(others):
                    await network.channel(f"c{other}", "a").call("/x", b"1")
                await network.channel("b", "a").call("/x", b"%d" % number)

        network.run(main())
        return [event.what for event in network.events if event.from_ == "b"]

    assert faults_of_b(0) == faults_of_b(3)
