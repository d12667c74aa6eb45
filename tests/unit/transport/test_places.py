"""Connections: places for holders, few for strangers, and the idle ones go first."""

from __future__ import annotations

import pytest

from tigertally.base.errors import Unavailable
from tigertally.transport.connections import _address
from tigertally.transport.door import Standing
from tigertally.transport.gate import Party
from tigertally.transport.places import PlaceLimits, Places

pytestmark = pytest.mark.requirement("C13")

HOLDER, REQUESTER, STRANGER = Standing.HOLDER, Standing.REQUESTER, Standing.STRANGER


def some_places(*, most=(8, 12, 20), per_key=4, per_address=6):
    return Places(
        PlaceLimits(
            most=dict(zip((STRANGER, REQUESTER, HOLDER), most, strict=True)),
            per_key=per_key,
            per_address=per_address,
        )
    )


def party(key, standing=STRANGER, address="here"):
    return Party(key=key.encode(), standing=standing, address=address)


def fill(places, number, standing=STRANGER, *, address=None, start=0.0):
    """So many connections of different keys, called by number; whoever went for them."""
    return [
        places.arrive(
            (standing.name, index),
            party(f"{standing}{index}", standing, address or f"{index}"),
            now=start + index,
        )
        for index in range(number)
    ]


def test_a_key_has_few_connections_and_its_own_idle_one_goes():
    places = some_places()
    for number in range(4):
        assert places.arrive(number, party("a", HOLDER), now=number) is None
    assert places.arrive(4, party("a", HOLDER), now=4) == 0
    places.begin(1)
    assert places.arrive(5, party("a", HOLDER), now=5) == 2
    assert len(places) == 4


def test_strangers_at_one_address_have_few_and_make_room_among_themselves():
    places = some_places()
    fill(places, 2, address="elsewhere", start=-10)
    for number in range(6):
        assert places.arrive(number, party(f"{number}"), now=number) is None
    assert places.arrive(6, party("6"), now=6) == 0
    assert places.arrive("member", party("m", HOLDER), now=7) is None


def test_all_strangers_together_have_few_and_the_one_idle_longest_goes():
    places = some_places()
    assert fill(places, 8) == [None] * 8
    places.begin((STRANGER.name, 0))
    places.end((STRANGER.name, 0), now=100.0)
    assert places.arrive("new", party("new", STRANGER, "new"), now=101.0) == (STRANGER.name, 1)


def test_who_is_at_work_is_not_closed():
    places = some_places()
    fill(places, 8)
    for index in range(8):
        places.begin((STRANGER.name, index))
    with pytest.raises(Unavailable):
        places.arrive("new", party("new", STRANGER, "new"), now=9.0)
    assert len(places) == 8
    places.end((STRANGER.name, 5), now=10.0)
    assert places.arrive("new", party("new", STRANGER, "new"), now=11.0) == (STRANGER.name, 5)


def test_all_but_holders_leave_places_to_holders():
    places = some_places()
    fill(places, 8)
    went = fill(places, 12, REQUESTER, start=50)
    assert went == [None] * 4 + [(STRANGER.name, index) for index in range(8)]
    assert len(places) == 12
    assert fill(places, 8, HOLDER) == [None] * 8


def test_nobody_drives_out_who_stands_higher():
    places = some_places(most=(8, 12, 12))
    fill(places, 12, HOLDER)
    for standing in (STRANGER, REQUESTER):
        with pytest.raises(Unavailable):
            places.arrive("new", party("new", standing), now=99.0)
    assert places.arrive("new", party("new", HOLDER), now=99.0) == (HOLDER.name, 0)


def test_a_holder_drives_out_strangers_first():
    places = some_places(most=(8, 12, 12))
    fill(places, 4, HOLDER)
    fill(places, 4, REQUESTER, start=10)
    fill(places, 4, STRANGER, start=20)
    went = [places.arrive(n, party(f"{n}", HOLDER), now=99.0 + n) for n in range(9)]
    assert went[:4] == [(STRANGER.name, index) for index in range(4)]
    assert went[4:8] == [(REQUESTER.name, index) for index in range(4)]
    assert went[8] == (HOLDER.name, 0)


def test_who_has_joined_is_counted_as_a_member():
    places = some_places()
    fill(places, 8)
    places.know((STRANGER.name, 3), party("0", HOLDER))
    assert places.arrive("new", party("new", STRANGER, "new"), now=9.0) is None
    assert places.arrive("newer", party("newer", STRANGER, "newer"), now=9.5) == (STRANGER.name, 0)


def test_what_has_left_leaves_nothing_behind():
    places = some_places()
    fill(places, 8)
    for index in range(8):
        places.begin((STRANGER.name, index))
        places.leave((STRANGER.name, index))
        places.leave((STRANGER.name, index))
        places.end((STRANGER.name, index), now=9.0)
    assert (len(places), places._count.total()) == (0, 0)
    assert fill(places, 8) == [None] * 8


@pytest.mark.parametrize(
    ("seen", "counted"),
    [
        (("192.0.2.7", 40000), "192.0.2.7"),
        (("::ffff:192.0.2.7", 40000, 0, 0), "192.0.2.7"),  # the same host at a socket for both
        (("2001:db8:1:2:3:4:5:6", 40000, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::1", 40000, 0, 0), "2001:db8:1:2::/64"),  # as many as anybody likes
        (("2001:db8:1:3::1", 40000, 0, 0), "2001:db8:1:3::/64"),
        (("fe80::1%eth0", 40000, 0, 2), "fe80::/64"),
        (None, ""),
        ("", ""),
        (("no address",), ""),
    ],
)
def test_what_an_address_is_counted_as(seen, counted):
    assert _address(seen) == counted
