from __future__ import annotations

from dataclasses import replace

import pytest

from note_vectors import KEYS, NOTES
from tigertally.audit.checkpoint import Checkpoint, SignedCheckpoint
from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.ids import Hash
from tigertally.base.limits import MAX_CHECKPOINT_BYTES
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.signatures import SigningKey

KEY = SigningKey.generate(SeededRandomness("log"))
HOLDERS = [SigningKey.generate(SeededRandomness(f"holder {i}")) for i in range(3)]
CHECKPOINT = Checkpoint(origin="tally.example/hq", size=42, root=Hash(bytes(range(32))))
BODY = "tally.example/hq\n42\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
TIME = 1_800_000_000
SIGNED = SignedCheckpoint.sign(CHECKPOINT, KEY)
LINE = SIGNED.to_text().removeprefix(BODY + "\n")


@pytest.mark.requirement("X5")
@pytest.mark.parametrize("case", NOTES["checkpoints"], ids=lambda c: c["name"])
def test_published_checkpoints(case):
    signed = SignedCheckpoint.from_text(case["text"])
    assert signed.to_text() == case["text"]
    assert signed.checkpoint.origin == case["origin"]
    assert signed.checkpoint.size == case["size"]
    changed = replace(signed, checkpoint=replace(signed.checkpoint, size=case["size"] + 1))
    if case["log"]:
        log = case["log"]
        assert signed.verify(KEYS[log], name=log) == signed.checkpoint
        with pytest.raises(InvalidSignature):
            changed.verify(KEYS[log], name=log)
    for witness, time in case["witnesses"].items():
        assert signed.verify_cosignature(witness, KEYS[witness]) == time
        with pytest.raises(InvalidSignature):
            changed.verify_cosignature(witness, KEYS[witness])


def test_the_text_that_is_signed():
    assert CHECKPOINT.to_note_body() == BODY.encode()
    assert Checkpoint.from_note_body(BODY) == CHECKPOINT


def test_signed_written_parsed_verified():
    again = SignedCheckpoint.from_bytes(SIGNED.to_bytes())
    assert again == SIGNED
    assert again.verify(KEY.public) == CHECKPOINT
    assert SignedCheckpoint.from_text(SIGNED.to_text()) == SIGNED


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "tally.example/hr"},
        {"size": 43},
        {"root": Hash(bytes(32))},
        {"extensions": ("x",)},
    ],
)
def test_a_changed_checkpoint_does_not_verify(change):
    cosigned = SIGNED.cosigned("alice", HOLDERS[0], time=TIME)
    forged = replace(cosigned, checkpoint=replace(CHECKPOINT, **change))
    with pytest.raises(InvalidSignature):
        forged.verify(KEY.public, name=CHECKPOINT.origin)
    with pytest.raises(InvalidSignature):
        forged.verify_cosignature("alice", HOLDERS[0].public)


@pytest.mark.requirement("X5")
def test_holders_cosign_side_by_side():
    signed = SIGNED
    for i, holder in enumerate(HOLDERS):
        signed = signed.cosigned(f"holder-{i}", holder, time=TIME + i)
    signed = SignedCheckpoint.from_bytes(signed.to_bytes())
    signed.verify(KEY.public)
    for i, holder in enumerate(HOLDERS):
        assert signed.verify_cosignature(f"holder-{i}", holder.public) == TIME + i
        with pytest.raises(InvalidSignature):
            signed.verify_cosignature(f"holder-{i}", HOLDERS[i - 1].public)
    with pytest.raises(InvalidSignature):
        signed.verify_cosignature(CHECKPOINT.origin, KEY.public)
    with pytest.raises(InvalidSignature):
        signed.verify(HOLDERS[0].public, name="holder-0")


def test_255_cosigners_fit():
    signed = replace(SIGNED, signatures=SIGNED.signatures[:1])
    line = signed.cosigned("h" * 64, HOLDERS[0], time=TIME).signatures[-1]
    full = replace(signed, signatures=(*signed.signatures, *[line] * 255))
    assert SignedCheckpoint.from_bytes(full.to_bytes()) == full


def test_extension_lines_are_carried_along():
    extended = replace(CHECKPOINT, extensions=("one", "two words", "— odd"))
    signed = SignedCheckpoint.sign(extended, KEY)
    again = SignedCheckpoint.from_bytes(signed.to_bytes())
    assert again == signed
    assert again.verify(KEY.public).extensions == ("one", "two words", "— odd")


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": ""},
        {"origin": "two\nlines"},
        {"origin": "tab\t"},
        {"origin": "\ud800"},
        {"size": -1},
        {"size": 2**64},
        {"extensions": ("",)},
        {"extensions": ("a\n",)},
    ],
)
def test_fields_that_cannot_stand_in_a_note(fields):
    with pytest.raises(MalformedMessage):
        replace(CHECKPOINT, **fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n",
        BODY,
        BODY + "\n",
        BODY + LINE,
        BODY + "\n" + LINE[:-1],
        BODY + "\n" + LINE + "\n",
        BODY + "\n\n" + LINE,
        "\n" + BODY + "\n" + LINE,
        BODY[:-1] + "\n" + LINE,
        BODY.replace("\n", "\r\n") + "\n" + LINE,
        BODY.replace("42", "042") + "\n" + LINE,
        BODY.replace("42", "+42") + "\n" + LINE,
        BODY.replace("42", "-42") + "\n" + LINE,
        BODY.replace("42", " 42") + "\n" + LINE,
        BODY.replace("42", "4_2") + "\n" + LINE,
        BODY.replace("42", "\u0664\u0662") + "\n" + LINE,
        BODY.replace("42", "9" * 21) + "\n" + LINE,
        BODY.replace("42", str(2**64)) + "\n" + LINE,
        BODY.replace("42", "") + "\n" + LINE,
        BODY.replace("h8=", "h9=") + "\n" + LINE,
        BODY.replace("h8=", "h8") + "\n" + LINE,
        BODY.replace("AAEC", "") + "\n" + LINE,
        BODY.replace("AAEC", "AAECAAEC") + "\n" + LINE,
        BODY.replace("/hq", "/hq\x00") + "\n" + LINE,
        "tally.example/hq\n42\n\n" + LINE,
        LINE,
    ],
)
def test_texts_that_are_no_checkpoint(text):
    assert SignedCheckpoint.from_text(BODY + "\n" + LINE) == SIGNED
    with pytest.raises(MalformedMessage):
        SignedCheckpoint.from_text(text)


def test_bytes_that_are_no_text():
    for raw in (b"\xff", SIGNED.to_bytes().replace(b"hq", b"\xc0\xaf")):
        with pytest.raises(MalformedMessage):
            SignedCheckpoint.from_bytes(raw)
    with pytest.raises(MalformedMessage):
        SignedCheckpoint.from_text(SIGNED.to_text().replace("hq", "\ud800"))


def test_too_long():
    line = SIGNED.signatures[0]
    count = MAX_CHECKPOINT_BYTES // len(line.to_line().encode())
    long = replace(SIGNED, signatures=(line,) * (count + 1))
    with pytest.raises(MalformedMessage, match="at most"):
        SignedCheckpoint.from_bytes(long.to_bytes())


def test_no_signature_no_signed_checkpoint():
    with pytest.raises(MalformedMessage):
        SignedCheckpoint(checkpoint=CHECKPOINT, signatures=())
