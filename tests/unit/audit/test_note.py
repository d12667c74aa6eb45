from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from note_vectors import KEYS, NOTES
from tigertally.algebra import tags
from tigertally.audit import note
from tigertally.audit.note import KeyId, NoteSignature, SignatureType
from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.signatures import SigningKey

KEY = SigningKey.generate(SeededRandomness("log"))
OTHER = SigningKey.generate(SeededRandomness("other"))
TEXT = b"example.com/log\n5\nAAAA\n"
TIME = 1_800_000_000


@pytest.mark.parametrize("key", NOTES["keys"], ids=lambda k: k["name"])
def test_published_keys_have_their_published_names(key):
    kind = SignatureType(key["type"])
    assert note.verifier_key(key["name"], KEYS[key["name"]], kind) == key["vkey"]


@pytest.mark.parametrize("case", NOTES["notes"], ids=lambda c: c["name"])
def test_published_notes_verify(case):
    line = NoteSignature.from_line(case["line"])
    assert line.to_line() == case["line"] + "\n"
    note.verify(case["text"].encode(), [line], case["key"], KEYS[case["key"]])
    with pytest.raises(InvalidSignature):
        note.verify(case["text"].encode() + b" ", [line], case["key"], KEYS[case["key"]])


def test_signed_and_verified():
    line = note.sign(TEXT, "log", KEY)
    note.verify(TEXT, [line], "log", KEY.public)
    with pytest.raises(InvalidSignature) as caught:
        note.verify(TEXT + b"\n", [line], "log", KEY.public)
    assert caught.value.culprits == ("log",)
    assert not caught.value.sure


def test_lines_of_others_are_ignored_and_do_not_count():
    mine, others = note.sign(TEXT, "log", KEY), note.sign(b"something else\n", "log", OTHER)
    renamed = replace(mine, name="log2")
    note.verify(TEXT, [others, mine, renamed], "log", KEY.public)
    for lines in ([], [others], [renamed], [note.cosign(TEXT, "log", KEY, time=TIME)]):
        with pytest.raises(InvalidSignature):
            note.verify(TEXT, lines, "log", KEY.public)


def test_one_wrong_line_of_a_known_key_spoils_the_note():
    good = note.sign(TEXT, "log", KEY)
    bad = replace(good, signature=bytes(64))
    short = replace(good, signature=good.signature[:-1])
    for lines in ([good, bad], [bad, good], [good, short], [short]):
        with pytest.raises(InvalidSignature):
            note.verify(TEXT, lines, "log", KEY.public)


def test_cosigned_and_verified():
    line = note.cosign(TEXT, "witness", KEY, time=TIME)
    assert note.verify_cosignature(TEXT, [line], "witness", KEY.public) == TIME
    later = note.cosign(TEXT, "witness", KEY, time=TIME + 60)
    assert note.verify_cosignature(TEXT, [later, line], "witness", KEY.public) == TIME + 60


def test_a_cosignature_s_time_is_signed():
    line = note.cosign(TEXT, "witness", KEY, time=TIME)
    moved = replace(line, signature=(TIME + 1).to_bytes(8, "big") + line.signature[8:])
    far = replace(line, signature=b"\xff" * 8 + line.signature[8:])
    short = replace(line, signature=line.signature[:-1])
    plain = replace(note.sign(TEXT, "witness", KEY), key=line.key)
    for wrong in (moved, far, short, plain):
        with pytest.raises(InvalidSignature):
            note.verify_cosignature(TEXT, [wrong], "witness", KEY.public)
    with pytest.raises(InvalidSignature):
        note.verify_cosignature(TEXT, [], "witness", KEY.public)


@pytest.mark.parametrize("time", [-1, 2**63])
def test_times_that_cannot_be_written(time):
    with pytest.raises(MalformedMessage):
        note.cosign(TEXT, "witness", KEY, time=time)


def test_a_note_signature_is_no_signature_of_any_message():
    for tag in (value for name, value in vars(tags).items() if name.isupper()):
        made = note.sign(TEXT, "log", KEY)
        with pytest.raises(InvalidSignature):
            KEY.public.verify(tag, TEXT, note.Signature(made.signature))
        assert b"\x00" in tag  # which no note text has


@pytest.mark.parametrize(
    "name", ["", "two words", "plus+sign", "tab\t", "line\n", "em\u2003space", "\x7f\x1f", "\ud800"]
)
def test_names_that_cannot_stand_in_a_line(name):
    with pytest.raises(MalformedMessage):
        note.check_key_name(name)
    with pytest.raises(MalformedMessage):
        NoteSignature(name=name, key=KeyId(bytes(4)), signature=b"x")


GOOD = base64.b64encode(b"1234x").decode()


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"- log {GOOD}",
        f"\u2014  log {GOOD}",
        f"\u2014 log  {GOOD}",
        f"\u2014 log {GOOD} ",
        f" \u2014 log {GOOD}",
        f"\u2014 {GOOD}",
        "\u2014 log ",
        "\u2014 log MTIzNA==",  # a key id and no signature
        "\u2014 log MTIz",
        "\u2014 log MTIzNHg",  # no padding
        "\u2014 log MTIzNHh=",  # bits set that no byte holds
        "\u2014 log MTIzN-g=",
        "\u2014 log MTIz\u00e9Hg=",
        f"\u2014 log\r {GOOD}",
        f"\u2014 log {GOOD}\r",
    ],
)
def test_lines_that_are_none(line):
    assert NoteSignature.from_line(f"\u2014 log {GOOD}").signature == b"x"
    with pytest.raises(MalformedMessage):
        NoteSignature.from_line(line)
