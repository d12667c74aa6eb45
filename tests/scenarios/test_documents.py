"""Documents, in the hands of whoever keeps them."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest

from delegation_rig import NOW, MemoryObjects, label, person, write
from tigertally.base.codec import encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused, UsageError
from tigertally.base.randomness import SystemRandomness
from tigertally.delegation.client.documents import load, open_field, parsed
from tigertally.delegation.client.files import keys_path, read_file
from tigertally.delegation.messages.slots import Keys
from tigertally.delegation.messages.units import Unit
from tigertally.delegation.protocol import edits
from tigertally.delegation.protocol.fields import leaves, padded, parse_unit, seal_field, unpadded
from tigertally.delegation.protocol.markup import dump_yaml

ANN, BOB = person("ann"), person("bob")
TREE = {
    "db": {"password": "correct horse", "port": 5432, "replicas": ["a", "b"], "opts": {}},
    "pi": 3.25,
    "on": True,
    "none": None,
    "täxt": "ü",
}


def of_tree(document, tree):
    """A document with these names and values, in the clear."""
    text = edits.Text.parse(dump_yaml(tree), json=False)
    return replace(document, text=text)


def sealed(tmp_path, name="app.yaml", tree=TREE):
    empty = parsed(tmp_path / name, label(name), None)
    document = empty.with_value((), tree, ANN, NOW)
    document.save()
    return document


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("name", ["app.yaml", "app.json"])
def test_every_field_is_a_unit_and_comes_back(tmp_path, name):
    sealed(tmp_path, name)
    text = (tmp_path / name).read_text()
    assert "password" in text, "names stay readable"
    assert "correct horse" not in text
    document = load(tmp_path / name, label(name))
    assert document.value((), ANN) == TREE
    assert document.value(label("db"), ANN) == TREE["db"]
    assert document.value(label("db/port"), ANN) == 5432
    assert len({unit for _, unit in leaves(document.tree)}) == 8
    with pytest.raises(UsageError):
        document.value(label("db/nothing"), ANN)
    with pytest.raises(Refused):
        document.value(label("db/port"), BOB)


@pytest.mark.requirement("D11")
def test_one_field_changes_alone(tmp_path):
    document = sealed(tmp_path)
    changed = document.with_value(label("db/port"), 5433, ANN, NOW)
    assert changed.value((), ANN) == {**TREE, "db": {**TREE["db"], "port": 5433}}
    before, after = dict(leaves(document.tree)), dict(leaves(changed.tree))
    assert {path for path in before if before[path] != after[path]} == {("db", "port")}
    assert document.value(label("db/port"), ANN) == 5432, "the old one is left alone"
    deeper = document.with_value(label("a/b/c"), {"d": [1], "e": {"f": ""}}, ANN, NOW)
    assert deeper.value(label("a"), ANN) == {"b": {"c": {"d": [1], "e": {"f": ""}}}}
    flat = document.with_value(label("db"), "flat", ANN, NOW, replaces=True)
    assert flat.value(label("db"), ANN) == "flat"
    assert document.with_value((), {}, ANN, NOW, replaces=True).tree == {}
    for place, value in ((label("pi/below"), 1), ((), "text"), ((), [1]), ((), {})):
        with pytest.raises(UsageError):
            document.with_value(place, value, ANN, NOW)


@pytest.mark.requirement("D11")
def test_units_cannot_be_moved_swapped_or_made_by_strangers(tmp_path):
    document = sealed(tmp_path)
    db = document.tree["db"]
    swapped = {**document.tree, "db": {**db, "password": db["port"]}}
    moved = {**document.tree, "pw": db["password"]}
    levels, path = ANN.levels(label("app.yaml/db")), label("app.yaml/db/password")
    planted = seal_field(
        levels, path, "x", sender=BOB.signing_key, written=NOW, randomness=SystemRandomness()
    )
    forged = {**document.tree, "db": {**db, "password": planted}}
    for tree, place in ((swapped, "db/password"), (moved, "pw"), (forged, "db/password")):
        changed = of_tree(document, tree)
        with pytest.raises(InvalidSignature):
            changed.value(label(place), ANN)
    renamed = replace(document, label=label("other.yaml"))
    with pytest.raises(InvalidSignature):
        renamed.value(label("pi"), ANN)
    plain = of_tree(document, {"a": "secret", "b": 1})
    for place in "ab":
        with pytest.raises(UsageError, match=f"^{place} is not encrypted, line [12]"):
            plain.value(label(place), ANN)


@pytest.mark.requirement("D6")
def test_a_card_for_a_subtree_does_not_replace_it():
    ann = person("an owner of a document")
    ann.label_card(label("app.yaml/db"), writers=[BOB.signing_key.public], expires=NOW + 10)
    for path, refused in ((label("app.yaml/db/port"), False), (label("app.yaml/db"), True)):
        unit = seal_field(
            ann.levels(path[:-1]),
            path,
            1,
            sender=BOB.signing_key,
            written=NOW,
            randomness=SystemRandomness(),
        )
        if refused:
            with pytest.raises(InvalidSignature, match="may not write there"):
                open_field(unit, path, ann)
        else:
            assert open_field(unit, path, ann) == 1


@pytest.mark.requirement("D11")
def test_a_unit_has_one_text_and_an_end():
    def sealed_at(name, value):
        return seal_field(
            ANN.levels(()),
            label(name),
            value,
            sender=ANN.signing_key,
            written=NOW,
            randomness=SystemRandomness(),
        )

    unit = next(one for one in (sealed_at("p" * n, 1) for n in (1, 2, 3)) if one.endswith("="))
    body = unit.rstrip("=")
    last = chr(ord(body[-1]) + 1)  # a bit that says nothing
    same = body[:-1] + last + unit[len(body) :]
    assert base64.b64decode(same) == base64.b64decode(unit), "the control"
    with pytest.raises(MalformedMessage, match="damaged"):
        parse_unit(same)
    with pytest.raises(UsageError, match="too long"):
        sealed_at("p", "x" * 1024 * 1024)


@pytest.mark.requirement("D11")
def test_a_damaged_unit_is_refused():
    path = label("pi")
    unit = seal_field(  # a single slot: others would not be looked at
        ANN.levels(()),
        path,
        3.25,
        sender=ANN.signing_key,
        written=NOW,
        randomness=SystemRandomness(),
    )
    assert open_field(unit, path, ANN) == 3.25
    for at in range(0, len(unit), 23):
        changed = unit[:at] + ("A" if unit[at] != "A" else "B") + unit[at + 1 :]
        with pytest.raises((InvalidSignature, MalformedMessage, Refused)):
            open_field(changed, path, ANN)
        with pytest.raises((InvalidSignature, MalformedMessage)):
            open_field(unit[:at], path, ANN)
    for changed in (unit + "\n", unit + "====", " " + unit):
        with pytest.raises(MalformedMessage):
            open_field(changed, path, ANN)


def test_a_field_is_no_file_and_a_file_no_field(tmp_path):
    _, data, slots = parse_unit(sealed(tmp_path).tree["pi"])
    store, path = MemoryObjects(), label("app.yaml/pi")
    store.objects[path] = data.getvalue()
    store.objects[keys_path(path)] = Keys(sets=(slots,)).to_bytes()
    with pytest.raises(InvalidSignature, match="something else"):
        read_file(store, ANN, path, io.BytesIO())
    write(ANN, store, "app.yaml/pi", padded(3.25))
    keys = Keys.from_bytes(store.objects[keys_path(path)])
    unit = Unit(data=store.objects[path], slots=keys.sets[0])
    with pytest.raises(InvalidSignature, match="something else"):
        open_field(base64.b64encode(encode(unit)).decode(), path, ANN)


@pytest.mark.requirement("D11")
def test_lengths_of_short_secrets_look_alike(tmp_path):
    for value in ("", "x", "x" * 26):
        assert len(padded(value)) == 32
        assert unpadded(padded(value)) == value
    assert len(padded("x" * 27)) == 64
    good = padded("x")
    wrong = (good[:-1], good + bytes(32), good[:-1] + b"\1", b"\xff" * 32, b"", padded("x")[::-1])
    for content in (*wrong, b"\0\0\0\3 1 " + bytes(25), b"\0\0\0\3NaN" + bytes(25)):
        with pytest.raises(MalformedMessage):
            unpadded(content)
    for value in (float("nan"), {1, 2}, b"x"):
        with pytest.raises(UsageError):
            padded(value)


def test_documents_that_are_none(tmp_path):
    for name, text in (
        ("a.yaml", b"[1"),
        ("b.json", b"{1}"),
        ("c.yaml", b"\xff"),
        ("d.json", b" "),
    ):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(UsageError, match=f"{name}.*(line 1|UTF-8)"):
            load(tmp_path / name, label(name))
    with pytest.raises(UsageError):
        load(tmp_path / "none.yaml", label("none"))
    with pytest.raises(UsageError):
        load(tmp_path, label("none"))
    assert load(tmp_path / "none.yaml", label("none"), create=True).tree == {}
    for name, text in (
        ("e.yaml", b"# nothing yet\n"),
        ("e.json", b""),
        ("m.json", b"\xef\xbb\xbf"),
    ):
        (tmp_path / name).write_bytes(text)
        assert load(tmp_path / name, label("none")).tree == {}
