"""A folder's key is rotated: slots change, data do not, and everything reads on at every moment."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from crash_rig import Crash, KilledAtMoves
from delegation_rig import NOW, MemoryObjects, dek_of, label, parts, person, read, write
from rotated_rig import (
    FILES,
    FOLDER,
    GRANT,
    Recipient,
    folder,
    only_slot,
    put_slot,
    rotate,
    slot_of,
)
from tigertally.base.codec import encode
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    UsageError,
)
from tigertally.base.randomness import SeededRandomness
from tigertally.delegation.client import channels, files, rotating
from tigertally.delegation.client.rotating import LabelRotation, rotate_in_this_process
from tigertally.delegation.messages.slots import ORIGINAL, ROTATED
from tigertally.delegation.protocol import records
from tigertally.delegation.protocol.reading import target_of
from tigertally.delegation.protocol.slots import make_slot
from tigertally.delegation.state.rotations import NEXT, State
from tigertally.delegation.stores.local import LocalStore
from tigertally.schemes.single_pre import batch

pytestmark = [pytest.mark.requirement("D16")]


def forms(owner, store, paths=FILES):
    return [slot_of(owner, store, path).form for path in paths]


@pytest.mark.requirement("D12")
def test_slots_change_and_data_do_not():
    owner, store = folder()
    before = {path: slot_of(owner, store, path) for path in FILES}
    data = {path: store.objects[label(path)] for path in FILES}
    assert rotate(owner, store) == len(FILES)
    assert {path: store.objects[label(path)] for path in FILES} == data
    reader = Recipient(owner)
    for path in FILES:
        old, new = before[path], slot_of(owner, store, path)
        assert (old.form, new.form, new.version) == (ORIGINAL, ROTATED, 1)
        assert (old.wrap, old.capsule[66:]) == (new.wrap, new.capsule[98:]), "wrap and s"
        only_slot(owner, store, path)
        assert read(owner, store, path)[0] == read(reader, store, path)[0] == path.encode()


@pytest.mark.requirement("D12")
def test_original_rotated_and_new_version_side_by_side():
    owner, store = folder(files=FILES[:2])
    rotate(owner, store)
    write(owner, store, "team/plans/new", b"under version 2")
    late = slot_of(owner, store, "team/plans/new")
    assert (late.form, late.version) == (ORIGINAL, 2)
    # A card of version 1 is still about.
    write_with_old_card(owner, store, "team/plans/c")
    assert [slot_of(owner, store, path).version for path in FILES] == [1, 1, 1]
    assert forms(owner, store) == [ROTATED, ROTATED, ORIGINAL]
    for path in (*FILES, "team/plans/new"):
        only_slot(owner, store, path)
        assert read(owner, store, path)[0]
    reader = Recipient(owner)
    with pytest.raises(Refused):
        read(reader, store, "team/plans/c")
    with pytest.raises(Refused):
        read(reader, store, "team/plans/new")
    assert rotate(owner, store) == 1, "the same generation takes up what came later"
    assert slot_of(owner, store, "team/plans/c").place().batch == 2
    assert read(Recipient(owner), store, "team/plans/c")[0]
    assert slot_of(owner, store, "team/plans/new") == late


def write_with_old_card(owner, store, path):
    name = label(path)
    levels = owner.keys.levels(name[:-1], lambda _: 1)
    files.write_file(
        store, levels, name, io.BytesIO(path.encode()), sender=owner.signing_key, now=NOW
    )


def test_again_from_members():
    owner, store = folder()
    rotate(owner, store)
    first = {path: slot_of(owner, store, path) for path in FILES}
    before = Recipient(owner)
    assert rotate(owner, store, generation=2) == len(FILES)
    reader = Recipient(owner, generation=2)
    for path in FILES:
        old, new = first[path], slot_of(owner, store, path)
        assert old.capsule[:66] != new.capsule[:66]
        assert (old.capsule[66:], old.wrap) == (new.capsule[66:], new.wrap), "h, s and wrap"
        only_slot(owner, store, path)
        assert read(owner, store, path)[0] == read(reader, store, path)[0] == path.encode()
        with pytest.raises(Refused):
            read(before, store, path)
        put_slot(store, path, old)
        assert read(before, store, path)[0] == path.encode(), "what was there is a member still"
        with pytest.raises(Refused):
            read(reader, store, path)


def test_generations_go_one_by_one():
    owner, store = folder()
    run = LabelRotation(owner, store, FOLDER, 1)
    with pytest.raises(UsageError, match="one generation"):
        run.rotate(2)
    rotate(owner, store)
    rotate(owner, store, generation=2)
    write_with_old_card(owner, store, "team/plans/late")
    with pytest.raises(UsageError, match="late is of generation 0"):
        run.rotate(2)
    assert run.rotate(1) == 1
    assert run.state is State.ROTATED


def test_only_keys_that_nothing_new_goes_to():
    owner, store = folder()
    with pytest.raises(UsageError, match="raise its version"):
        LabelRotation(owner, store, FOLDER, 2)
    with pytest.raises(UsageError, match="raise its version"):
        LabelRotation(owner, store, label("team"), 1)


def test_a_proxy_gets_a_key_an_id_and_capsules():
    owner, store = folder()
    got = []

    def proxy(task, inputs, key):
        got.append((bytes(task), b"".join(one.to_bytes_simple() for one in inputs)))
        got.append(key.to_secret_bytes())
        return rotate_in_this_process(task, inputs, key)

    LabelRotation(owner, store, FOLDER, 1).rotate(proxy=proxy)
    told = b"".join(got[0]) + got[1]
    rotation = owner.keys.rotation(FOLDER, 1, 1)
    for public in (rotation.origin_pk, rotation.target_pk):
        assert public.to_bytes() not in told
    assert bytes(owner.keys.ids(FOLDER)[-1]) not in told


@pytest.mark.parametrize("how", ["one left out", "swapped", "other key", "no batch"])
def test_a_proxy_that_cheats_changes_nothing(how):
    owner, store = folder()
    before = dict(store.objects)

    def proxy(task, inputs, key):
        if how == "one left out":
            return rotate_in_this_process(task, inputs[:-1], key)
        if how == "swapped":
            return rotate_in_this_process(task, [*inputs[1:], inputs[0]], key)
        if how == "other key":
            return rotate_in_this_process(task, inputs, owner.keys.rotation(FOLDER, 2, 1).key)
        return b"nothing"

    run = LabelRotation(owner, store, FOLDER, 1)
    with pytest.raises((PeerFault, MalformedMessage)):
        run.rotate(proxy=proxy)
    assert (run.state, store.objects) == (None, before)
    assert owner.rotations(FOLDER, 1).generation() == 0
    assert rotate(owner, store) == len(FILES)


def test_of_an_answer_longer_than_the_question_no_point_is_read(monkeypatch):
    """Else one file to rotate buys the proxy a full batch's points of the owner's time."""
    owner, store = folder()
    before, answer, read_points = dict(store.objects), [], []
    from_bytes = batch.Point.from_bytes

    def proxy(task, inputs, key):
        answer[:] = [rotate_in_this_process(task, inputs, key)]
        monkeypatch.setattr(batch, "Point", SimpleNamespace(from_bytes=counted))
        return answer[0] + (answer[0][-66:] if longer else b"")

    def counted(raw):
        read_points.append(raw)
        return from_bytes(raw)

    run = LabelRotation(owner, store, FOLDER, 1)
    longer = True
    with pytest.raises(MalformedMessage):
        run.rotate(proxy=proxy)
    assert (read_points, run.state, dict(store.objects)) == ([], None, before)
    longer = False
    monkeypatch.undo()
    assert run.rotate(proxy=proxy) == len(FILES)
    assert len(read_points) >= 2 * len(FILES), "the control: they are read here"


class Stops(Exception):
    pass


class StoppingObjects(MemoryObjects):
    """A store that is killed at its n-th write, before or after the object has its name."""

    left, named = 10**6, False

    @contextmanager
    def put(self, path):
        self.left -= 1
        if self.left < 0 and not self.named:
            raise Stops
        with super().put(path) as sink:
            yield sink
        if self.left < 0:
            raise Stops


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("writes", range(len(FILES)))
def test_killed_in_the_middle_of_the_switch(writes, named):
    owner, made = folder()
    store = StoppingObjects()
    store.objects = made.objects
    run = LabelRotation(owner, store, FOLDER, 1)
    run.rotate()
    run.sign([GRANT])
    run.granted()
    store.left, store.named = writes, named
    with pytest.raises(Stops):
        run.switch()
    store.left = 10**6
    assert sum(forms(owner, store)) == writes + named
    for path in FILES:
        assert read(owner, store, path)[0] == path.encode(), "in the middle of it"
    again = LabelRotation(owner, store, FOLDER, 1)
    assert again.state is State.GRANTED
    assert again.switch() == len(FILES) - writes - named
    again.finish()
    assert again.behind() == 0
    reader = Recipient(owner)
    assert [read(reader, store, path)[0] for path in FILES] == [path.encode() for path in FILES]


STEPS = {
    None: lambda run: run.rotate(),
    State.ROTATED: lambda run: run.sign([GRANT]),
    State.SIGNED: lambda run: run.granted(),
    State.GRANTED: lambda run: run.switch(),
    State.SWITCHED: lambda run: run.finish(),
}


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("left", range(len(NEXT) + 1))
def test_killed_at_every_move(left, stored):
    owner, store = folder(files=FILES[:2])
    rows = owner.remembered.rows
    killed = KilledAtMoves(rows, left, stored=stored)
    object.__setattr__(owner.remembered, "rows", killed)
    run = LabelRotation(owner, store, FOLDER, 1)
    with pytest.raises(Crash):
        for _ in range(6):
            STEPS[run.state](run)
    assert killed.moves == [*NEXT, State.DONE][: left + 1], "begun, and every move of a whole run"
    object.__setattr__(owner.remembered, "rows", rows)
    for path in FILES[:2]:
        assert read(owner, store, path)[0] == path.encode()
    run = LabelRotation(owner, store, FOLDER, 1)
    for _ in range(5):
        if run.state is None and sum(forms(owner, store, FILES[:2])) == 2:
            break
        STEPS[run.state](run)
    assert (run.state, forms(owner, store, FILES[:2])) == (None, [ROTATED, ROTATED])
    assert read(Recipient(owner), store, FILES[0])[0] == FILES[0].encode()
    assert len(owner.rotations(FOLDER, 1).sets(1)) == 1


def test_steps_have_an_order_and_a_run_is_alone():
    owner, store = folder()
    run = LabelRotation(owner, store, FOLDER, 1)
    for step in (run.granted, run.switch, run.finish, run.drop, lambda: run.sign([GRANT])):
        with pytest.raises(UsageError):
            step()
    run.rotate()
    before = dict(store.objects)
    for step in (run.granted, run.switch, run.finish, run.rotate):
        with pytest.raises(UsageError):
            step()
    assert (run.state, store.objects) == (State.ROTATED, before)
    signed = run.sign([GRANT])
    assert run.sign([GRANT]) == signed, "the same in every later state"
    run.granted()
    elsewhere = MemoryObjects()
    elsewhere.url = "elsewhere:"
    with pytest.raises(UsageError, match="begun over memory:"):
        LabelRotation(owner, elsewhere, FOLDER, 1).switch()


def test_a_dropped_run_leaves_files_that_open_and_its_numbers_used():
    owner, store = folder()
    run = LabelRotation(owner, store, FOLDER, 1)
    run.rotate()
    run.sign([GRANT])
    run.drop()
    assert (run.state, forms(owner, store)) == (None, [ORIGINAL] * 3)
    assert rotate(owner, store) == len(FILES)
    assert {slot_of(owner, store, path).place().batch for path in FILES} == {2}
    with pytest.raises(UsageError):
        run.drop()


def test_files_that_change_during_a_run():
    owner, store = folder()
    run = LabelRotation(owner, store, FOLDER, 1)
    run.rotate()
    run.sign([GRANT])
    run.granted()
    write(owner, store, FILES[0], b"written anew")
    anew = slot_of(owner, store, FILES[0])
    for suffix in ("", ".keys"):
        name = label(FILES[1])
        store.delete((*name[:-1], name[-1] + suffix))
    write_with_old_card(owner, store, "team/plans/late")
    assert run.switch() == 1
    assert slot_of(owner, store, FILES[0]) == anew
    run.finish()
    assert run.behind() == 1
    assert read(owner, store, FILES[0])[0] == b"written anew"
    assert rotate(owner, store) == 1


def test_more_slots_than_a_batch_takes(monkeypatch):
    monkeypatch.setattr(rotating, "MAX_ROTATION_BATCH", 2)
    owner, store = folder()
    sizes = []

    def proxy(task, inputs, key):
        sizes.append(len(inputs))
        return rotate_in_this_process(task, inputs, key)

    run = LabelRotation(owner, store, FOLDER, 1)
    assert (run.rotate(proxy=proxy), sizes) == (3, [2, 1])
    (signed,) = run.sign([GRANT])
    assert len(signed) == 2
    run.granted()
    assert run.switch() == 3
    run.finish()
    assert rotate(owner, store, generation=2) == 3
    assert sorted(slot_of(owner, store, path).place().batch for path in FILES) == [3, 3, 4]
    reader = Recipient(owner, generation=2)
    assert [read(reader, store, path)[0] for path in FILES] == [path.encode() for path in FILES]


def test_slots_of_another_version_are_not_replaced():
    owner, store = folder()
    run = LabelRotation(owner, store, FOLDER, 1)
    run.rotate()
    run.sign([GRANT])
    run.granted()
    header, *_ = parts(store, FILES[0])
    with dek_of(owner, store, FILES[0]) as dek:
        level = owner.levels(FOLDER)[-1]
        anew = make_slot(level, dek, target_of(header), randomness=SeededRandomness("anew"))
    put_slot(store, FILES[0], anew)
    assert run.switch() == 2
    assert slot_of(owner, store, FILES[0]) == anew
    only_slot(owner, store, FILES[0])
    assert read(owner, store, FILES[0])[0] == FILES[0].encode()


def test_slots_of_another_version_in_a_record():
    owner, store, name = person("channel"), MemoryObjects(), label("camera")
    channels.write_stream(owner, store, name, [b"one"], clock=lambda: 1)
    owner.raise_version(name)
    run = LabelRotation(owner, store, name, 1)
    run.rotate()
    run.sign([GRANT])
    run.granted()
    where = channels.record_path(name, 1)
    raw = store.objects[where]
    record = records.read_head(io.BytesIO(raw))
    before = encode(record.keys)
    newer = encode(replace(record.keys, own=replace(record.keys.own, version=2)))
    assert len(newer) == len(before)
    store.objects[where] = raw.replace(before, newer)
    assert run.switch() == 1
    assert records.read_head(io.BytesIO(store.objects[where])).keys.own.version == 2


def test_two_runs_at_once():
    owner, store = folder()
    rows = owner.rotations(FOLDER, 1)
    run = LabelRotation(owner, store, FOLDER, 1)

    def proxy(task, inputs, key):
        if run.state is None:
            run.rotate()  # somebody else, meanwhile
        return rotate_in_this_process(task, inputs, key)

    with pytest.raises(UsageError, match="under way"):
        LabelRotation(owner, store, FOLDER, 1).rotate(proxy=proxy)
    assert (run.state, len(rows.sets(1)), len(list(rows.new_slots()))) == (State.ROTATED, 1, 3)


def test_what_an_interrupted_write_left_behind_goes():
    owner, store = folder(files=FILES[:1])
    header, _, keys = parts(store, FILES[0])
    name = files.keys_path(label(FILES[0]))
    _, there = folder("ann", files=FILES[1:2])
    dead = parts(there, FILES[1])[2].sets
    store.objects[name] = type(keys)(sets=(*keys.sets, *dead)).to_bytes()
    assert rotate(owner, store) == 1
    assert parts(store, FILES[0])[2].of(header.fixed.file_id)
    assert len(parts(store, FILES[0])[2].sets) == 1


def test_a_damaged_file_does_not_stop_the_others():
    owner, store = folder()
    run = LabelRotation(owner, store, FOLDER, 1)
    run.rotate()
    run.sign([GRANT])
    run.granted()
    name = files.keys_path(label(FILES[0]))
    good = store.objects[name]
    store.objects[name] = good[:-1]
    with pytest.raises(InvalidSignature, match=FILES[0]):
        run.switch()
    assert run.state is State.GRANTED
    assert forms(owner, store, FILES[1:]) == [ROTATED, ROTATED]
    store.objects[name] = good
    assert run.switch() == 1


def test_the_root_a_single_file_and_a_local_store(tmp_path):
    owner, _ = folder()
    store = LocalStore(str(tmp_path), tmp_path)
    for path in FILES:
        write(owner, store, path, path.encode())
    own = label(FILES[0])
    files.add_own_slot(store, owner, owner.levels(own)[-1], own)
    for where in ((), own):
        owner.raise_version(where)
        run = LabelRotation(owner, store, where, 1)
        assert run.rotate() == (3 if where == () else 1)
        run.sign([GRANT])
        run.granted()
        assert run.switch() == (3 if where == () else 1)
        run.finish()
        assert run.behind() == 0
    for path in FILES:
        assert read(owner, store, path)[0] == path.encode(), "by the root's slot"
    assert not [name for name in store.list(()) if name[-1].endswith(".partial")]


@pytest.mark.requirement("D14")
def test_the_records_of_a_channel(tmp_path):
    owner, store, name = person("channel"), LocalStore(str(tmp_path), tmp_path), label("camera")
    channels.write_stream(owner, store, name, [b"one", b"two"], clock=lambda: 1)
    owner.raise_version(name)
    run = LabelRotation(owner, store, name, 1)
    assert run.rotate() == 5, "three own slots, two following ones"
    run.sign([GRANT])
    run.granted()
    assert run.switch() == 3
    run.finish()
    assert run.behind() == 0
    for start, content in ((0, b"onetwo"), (1, b"two")):
        sink = io.BytesIO()
        channels.read_stream(store, owner, name, sink, start=start)
        assert sink.getvalue() == content
