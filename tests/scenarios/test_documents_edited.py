"""Documents are edited as text: the place changes, and not a byte elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from delegation_rig import NOW, label, person
from edited_documents import CASES
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.randomness import SystemRandomness
from tigertally.delegation.client.documents import parsed
from tigertally.delegation.protocol import excerpts, fields
from tigertally.delegation.protocol.places import parse_place

ANN = person("ann")
LABEL = label("app")
NAMES = {"yaml": Path("app.yaml"), "json": Path("app.json")}


def document(text: str, language: str = "yaml"):
    return parsed(NAMES[language], LABEL, text.encode())


def put(found, place, value="pw", **more):
    return found.with_value(parse_place(place), value, ANN, NOW, **more)


def plain(changed, place):
    """The text with `@` instead of what is encrypted at a place."""
    node = changed._at(parse_place(place), changed.part_of(parse_place(place)))
    return changed.content().decode().replace(node.text, "@")


def test_there_are_enough_of_them():
    assert len({(case.place, case.before) for case in CASES}) >= 120


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.place} {case.before[:20]!r}")
@pytest.mark.parametrize("large", [False, True])
def test_only_the_place_changes(case, large, monkeypatch):
    """`large`: only an excerpt is read again, as of a long document."""
    if large:
        monkeypatch.setattr(excerpts, "LARGE", -1)
    place = parse_place(case.place)
    before = document(case.before, case.language)
    after = put(before, case.place)
    assert plain(after, case.place) == case.after
    assert before.content().decode() == case.before, "the old one is left alone"
    again = document(after.content().decode(), case.language)
    assert again.value(place, ANN) == "pw"
    other = put(again, case.place, "another")
    assert plain(other, case.place) == case.after
    assert other.value(place, ANN) == "another"
    if len(case.after) - len(case.before) > 4:  # else a value was there
        assert other.without(place).content().decode() == case.before


@pytest.mark.requirement("D11")
def test_what_was_there_is_replaced_in_its_place():
    for before, after in (
        ("a: 1 # one\nb: 2\n", 'a: "@" # one\nb: 2\n'),
        ("a: |+ # text\n  x\n\nb: 2\n", 'a: "@"\nb: 2\n'),
        ("a: |\n  x\n\n\nb: 2\n", 'a: "@"\n\n\nb: 2\n'),
        ("a:   # below\n  'x'\n", 'a: "@"   # below\n'),
        ("a:\n  several\n  words # end\nb: 1\n", 'a: "@" # end\nb: 1\n'),
        ("a:\nb: 2\n", 'a: "@"\nb: 2\n'),
        ("- a: x\n  b: 2\n", '- a: "@"\n  b: 2\n'),
        ("{b: 2, a: x}\n", '{b: 2, a: "@"}\n'),
    ):
        place = "0/a" if before.startswith("-") else "a"
        assert plain(put(document(before), place), place) == after


@pytest.mark.requirement("D11")
def test_subtrees_and_values_take_each_others_place_only_if_told():
    for before, place, value, lost in (
        ("db:\n  user: x\n  pw: y\nz: 1\n", "db", "flat", "what is below db, line 2"),
        ("db:\n  user: x\n", "db", {"pw": "y"}, "what is below db, line 2"),
        ("a: 1\ndb: flat\n", "db/pw", "x", "the value of db, line 2"),
        ("a: 1\ndb: flat\n", "db", {"pw": "x"}, "the value of db, line 2"),
        ("a: 1\nenv: [x]\n", "env", "x", "what is below env, line 2"),
        ("a: 1\nb: 2\n", "/", {"a": 1}, "what is below /, line 1"),
        ("l:\n-\n", "l/0/a", 1, "the value of l/0, line 2"),
    ):
        found = document(before)
        with pytest.raises(UsageError, match=f"^{lost}, would be lost: say --replace"):
            put(found, place, value)
        assert put(found, place, value, replaces=True).value(parse_place(place), ANN) == value
    found = document("db:\n  user: x\n")
    assert put(found, "db", {"user": 1, "pw": 2}).value(("db",), ANN) == {"user": 1, "pw": 2}
    for empty in ("db: {}\n", "db: []\n", "db:\n"):
        assert put(document(empty), "db", "x").value(("db",), ANN) == "x"
    changed = put(document("a: 1\ndb:\n  user: x # who\n  pw: y\nz: 1\n"), "db", 7, replaces=True)
    assert plain(changed, "db") == 'a: 1\ndb: "@"\nz: 1\n'


@pytest.mark.requirement("D11")
@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("x: 1\na: &n {b: 1}\n", "a/p", "a is marked by an anchor.*line 2"),
        ("x: &n {}\na: *n\n", "a/p", "a is an alias.*line 2"),
        ("x: 1\na: !t {b: 1}\n", "a/p", "a is marked by a tag.*line 2"),
        ("x: 1\n&k a: 1\n", "a", "a is marked by an anchor.*line 2"),
        ("x: &n {}\na:\n  <<: *n\n  b: 1\n", "a/p", "merge key, line 3"),
        ("a: 1\nb: 2\na: 3\n", "a", "a twice, lines 1 and 3"),
        ("cafe\u0301: 1\ncaf\u00e9: 2\n", "caf\u00e9", "twice, lines 1 and 2"),
        ("x: 1\nl: [1, 2]\n", "l/3", "list of 2, line 2: the next element is 2"),
        ("l: [1, 2]\n", "l/01", "no number of an element"),
        ("l: [a: 1]\n", "l/0/p", "not supported, line 1"),
        ("a: 1\n---\nb: 2\n", "c", "holds 2 YAML documents: say --document, 1 to 2"),
        ("a: 1\n---\na: 2\n", "a", "say --document, 1 to 2"),
        ("a: 1\n", "\0", "cannot be the name of a field"),
        ("a: 1\n", "x.keys", r"x\.keys cannot be the name of a field"),
        ("a: 1\n", "..", "cannot be the name of a field"),
        ("a: 1\n", "b\u200b", "no unseen characters"),
        ("a: 1\n", "#2/a", "means a document of the file"),
    ],
)
def test_a_place_that_cannot_be_set_is_refused_with_its_line(text, place, why):
    found = document(text)
    with pytest.raises(UsageError, match=why):
        put(found, place)
    assert found.content().decode() == text


@pytest.mark.requirement("D11")
def test_whatever_is_no_document_says_the_line():
    for language, text in (
        ("yaml", "a: 1\nb: [\n"),
        ("yaml", "a: 1\n\tb: 2\n"),
        ("yaml", "a: 1\nb: \x01\n"),
        ("json", '{"a": 1,\n"b": 01}'),
        ("json", '{"a": 1,\n}'),
        ("json", '{"a":\n/*c*/ 1}'),
        ("json", "{\n'a': 1}"),
        ("yaml", "- x\n- " + "[" * 90 + "]" * 90),
        ("json", "\n" + "[" * 90 + "]" * 90),
    ):
        with pytest.raises(UsageError, match=rf"^app\.{language}: .*line 2"):
            document(text, language)


@pytest.mark.requirement("D11")
def test_unset_takes_out_what_is_named_alone():
    for before, place, after in (
        ("a: 1 # one\n# two\nb: 2\n", "a", "# two\nb: 2\n"),
        ("a: 1\nb:\n  c: |\n    x\n\nd: 4\n", "b", "a: 1\n\nd: 4\n"),
        ("a: |+\n  x\nb: 2\n\nc: 3\n", "b", "a: |+\n  x\nc: 3\n"),
        ("- a: 1\n  b: 2\n- c\n", "0/a", "- b: 2\n- c\n"),
        ("- a: 1\n- c\n", "0/a", "- {}\n- c\n"),
        ("a: {b: 1, c: 2}\n", "a/b", "a: {c: 2}\n"),
        ("a: [1, 2,]\n", "a/1", "a: [1,]\n"),
        ("a: [1,]\n", "a/0", "a: []\n"),
        ("a:\n- 1\n", "a/0", "a: []\n"),
        ("a: 1\n---\nb: 2\n", "a", "{}\n---\nb: 2\n"),
        ("x: 1\na:\n  b:\n    c: 1\n", "a/b/c", "x: 1\n"),
    ):
        assert document(before).without(parse_place(place)).content().decode() == after
    for text, place, why in (
        ("a: 1\n", "b", "has no b"),
        ("a: 1\n", "/", "not taken out whole"),
        ("a: 1\n", "a/b", "has no a/b"),
        ("", "a", "has no a"),
        ("a: [1, 2]\n", "a/0", "only the last element of a list can be taken out, line 1"),
    ):
        with pytest.raises(UsageError, match=why):
            document(text).without(parse_place(place))


MIXED = """\
kind: Secret  # of ours
mode: 0400
stringData:
  password: x
  user: 'ann'
---
metadata: &m {name: a}
labels: *m
data: {token: ''}
"""


@pytest.mark.requirement("D11")
def test_a_mixed_document_is_printed_whole():
    found = put(document(MIXED), "stringData/password", "pass: #word")
    found = put(found, "data/token", ["x", 1, None])
    for place, line in ((("kind",), 1), (("stringData", "user"), 5)):
        with pytest.raises(UsageError, match=f"{place[-1]} is not encrypted, line {line}: --plain"):
            found.value(place, ANN)
    whole = found.shown((), ANN, as_text=True)
    assert whole.content == MIXED.replace("password: x", 'password: "pass: #word"').replace(
        "''", "[x, 1, null]"
    )
    places = ["kind", "mode", "stringData/user", "#2/metadata/name", "#2/labels"]
    assert ["/".join(place) for place in whole.plain] == places
    part = found.shown(("stringData",), ANN, as_text=True)
    assert part.content == "password: \"pass: #word\"\nuser: 'ann'\n"
    assert part.plain == (("stringData", "user"),)
    one = found.shown((), ANN, part=1, as_text=False)
    assert one.content == {
        "kind": "Secret",
        "mode": "0400",
        "stringData": {"password": "pass: #word", "user": "ann"},
    }
    with pytest.raises(UsageError, match=r"marked by an anchor.*line 7"):
        found.shown((), ANN, as_text=False)


@pytest.mark.requirement("D11")
def test_any_value_is_printed_in_its_place():
    values = (
        "",
        "word",
        "yes",
        "0400",
        "a\nb\n",
        '"',
        "\0\x85\u2028",
        "# x",
        [1.5, "a: b", {}],
        1e22,
    )
    for value in (*values, 7, None, True, {}):
        for before in ("{x: 1}", "a:\r\n  - {x: 1}\r\n", '{"x":1}', "x: 1 # c\n", "a: [[1]]"):
            place = {"{": "x", "x": "x"}.get(before[0], "a/0/0" if "[" in before else "a/0/x")
            found = put(document(before), place, value)
            unit = found._at(parse_place(place), 1).text
            whole = found.shown((), ANN, as_text=True)
            assert whole.plain == ()
            if isinstance(value, str):
                assert document(whole.content)._at(parse_place(place), 1).text == value
            start = found.text.text.index(unit) - 1
            assert whole.content.startswith(found.text.text[:start])
            assert whole.content.endswith(found.text.text[start + len(unit) + 2 :])


@pytest.mark.requirement("D11")
def test_a_damaged_field_is_no_plain_one():
    found = put(document("a: 1\n"), "db/pw")
    unit = found.tree["db"]["pw"]
    for damaged in (unit[:40] + unit[41:], unit[:-4], unit[:30] + "!" + unit[31:]):
        changed = document(found.content().decode().replace(unit, damaged))
        for read in (changed.value, partial(changed.shown, as_text=True)):
            with pytest.raises(MalformedMessage, match=r"^db/pw: "):
                read(("db", "pw"), ANN)
    for text in ("", "glk", "Z2xr" * 100, "glkBlooms" + "x" * 300, unit[1:]):
        assert not fields.is_unit(text)
    assert fields.is_unit(unit)


@pytest.mark.requirement("D11")
def test_fields_of_several_documents_are_not_one_another():
    found = put(document("a: {}\n---\nb: 1\n"), "a/pw", "one")
    found = put(found, "b2/pw", "two", part=2)
    one, two = found.text.root(1), found.text.root(2)
    first = one.pairs[0][1].pairs[0][1].text
    second = two.pairs[1][1].pairs[0][1].text
    swapped = found.content().decode().replace(first, "@").replace(second, first)
    moved = document(swapped.replace("@", second))
    for part, place in ((1, ("a", "pw")), (2, ("b2", "pw"))):
        assert found.value(place, ANN, part=part) == ("one", "two")[part - 1]
        with pytest.raises(Exception, match="written for") as caught:
            moved.value(place, ANN, part=part)
        assert type(caught.value).__name__ == "InvalidSignature"


@pytest.mark.requirement("D11")
def test_a_field_of_an_earlier_version_is_read_whatever_its_name():
    for name in ("a~b", "x~1y", "x~0y", "~"):
        path = (*LABEL, *label(name))
        unit = fields.seal_field(
            ANN.levels(path[:-1]),
            path,
            "landed",
            sender=ANN.signing_key,
            written=NOW,
            randomness=SystemRandomness(),
        )
        found = document(f'"{name}": "{unit}"\n')
        assert found.value((name,), ANN) == "landed"
        again = put(found, name.replace("~", "~0"), "new")
        assert document(again.content().decode()).value((name,), ANN) == "new"
        assert found.text.text.count("\n") == again.text.text.count("\n"), "no twin"


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("large", [False, True])
def test_what_an_alias_elsewhere_means_does_not_go(large, monkeypatch):
    """Its anchor gone, an alias would mean one of that name before it, or nothing."""
    if large:
        monkeypatch.setattr(excerpts, "LARGE", -1)
    for text, line in (
        ("z: &v wrong\na:\n  x: &v right\n  y: 1\nb: *v\n", 5),
        ("a:\n  x: [1, {y: &v right}]\nb: 1\nc: {d: *v}\n", 4),
        ("a:\n  ? &v x\n  : 1\n? *v\n: 2\n", 4),
    ):
        found = document(text)
        why = rf"^the alias \*v, line {line}, means something in a: write the value out"
        for edit in (
            lambda found=found: put(found, "a", {"x": 1}, replaces=True),
            lambda found=found: put(found, "a", "x", replaces=True),
            lambda found=found: found.without(("a",)),
        ):
            with pytest.raises(UsageError, match=why):
                edit()
        assert plain(put(found, "a/p"), "a/p"), "a name beside it takes nothing away"
    for text, after in (
        ("a:\n  x: &v 1\n  y: *v\nb: 1\n", 'a: "@"\nb: 1\n'),
        ("a: {x: &v 1}\nb: &v 2\nc: *v\n", 'a: "@"\nb: &v 2\nc: *v\n'),
        ("c: &v 1\nb: *v\na: {x: &v 2}\n", 'c: &v 1\nb: *v\na: "@"\n'),
        ("a: {x: &v 1}\nb: {&v k: *v}\n", 'a: "@"\nb: {&v k: *v}\n'),
        ("a: {x: &v 1}\n---\nb: &v 2\nc: *v\n", 'a: "@"\n---\nb: &v 2\nc: *v\n'),
    ):
        assert plain(put(document(text), "a", "x", replaces=True), "a") == after


@pytest.mark.requirement("D11")
def test_what_is_printed_by_itself_holds_all_that_it_means():
    found = document("b: &b 1\nuse:\n  x: *b\n  y: &c 2\n  z: *c\nown:\n  y: &c 2\n  z: *c\n")
    with pytest.raises(UsageError, match="line 3 cannot be printed by itself"):
        found.shown(("use",), ANN, as_text=True)
    assert found.shown(("own",), ANN, as_text=True).content == "y: &c 2\nz: *c\n"


@pytest.mark.requirement("D11")
def test_a_value_below_gives_way_to_a_subtree_only_if_told():
    for before, value in (
        ("db:\n  pw: old\n  user: x\n", {"pw": {"x": 1}, "user": "y"}),
        ("n: &n {b: 1}\ndb: {pw: *n}\n", {"pw": 1}),
    ):
        with pytest.raises(UsageError, match=r"what is below db.*say --replace"):
            put(document(before), "db", value)
        assert put(document(before), "db", value, replaces=True).value(("db",), ANN) == value
    for before in ("db:\n  pw:\n", "db:\n  pw: {}\n"):
        assert put(document(before), "db", {"pw": {"x": 1}}).value(("db", "pw", "x"), ANN) == 1


@pytest.mark.requirement("D11")
def test_comments_beside_what_goes_stay():
    for before, place, after in (
        ("{\n  a: 1, # a\n  # b\n  b: 2\n}\n", "a", "{\n  # b\n  b: 2\n}\n"),
        ("{a: 1, # a\n  # b\n  b: 2\n}\n", "a", "{ # a\n  # b\n  b: 2\n}\n"),
        ("{\n  a: 1 # a, b\n  , b: 2\n}\n", "a", "{\n   # a, b\n   b: 2\n}\n"),
        ("{\n  a: 1 # a, b\n  , b: 2\n}\n", "b", "{\n  a: 1 # a, b\n   \n}\n"),
        ("l: [\n  1 # x, y\n  , 2 ]\n", "l/1", "l: [\n  1 # x, y\n    ]\n"),
        ("l: [ # all\n  1, # one\n]\n", "l/0", "l: [ # all\n   # one\n]\n"),
        ("a: {\n  # b\n  b: 1\n}\n", "a/b", "a: {\n  # b\n  \n}\n"),
        ("a:\n  {\n  # b\n  b: 1 }\n", "a/b", "a:\n  {\n  # b\n   }\n"),
    ):
        assert document(before).without(parse_place(place)).content().decode() == after
    with pytest.raises(UsageError, match="x/a is written in a way that is not supported, line 2"):
        document("x: {? a\n  : 1 # a\n  }\n").without(("x", "a"))
    for before, value, after in (
        ("a: # one\n  # two\n  old\nb: 1\n", "x", 'a: # one\n  # two\n  "@"\nb: 1\n'),
        ("a: # one\n# two\n- old # three\nb: 1\n", "x", 'a: # one\n# two\n  "@" # three\nb: 1\n'),
        ("a: # one\n  # two\n  old\n", {"b": "x"}, 'a: # one\n  # two\n  b: "@"\n'),
        ("a: # one\n# two\n- old # three\n", {"b": "x"}, 'a: # one\n# two\n  b: "@" # three\n'),
    ):
        changed = put(document(before), "a", value, replaces=True)
        assert plain(changed, "a/b" if isinstance(value, dict) else "a") == after


@pytest.mark.requirement("D11")
def test_fields_are_not_shown_under_a_name_that_says_another_place():
    """Who keeps the document must not give a field another name, nor a forged value its own."""
    unit = put(document(""), "pw", "mine").tree["pw"]
    for text, why in (
        (f"pw: forged\npw: {unit}\n", "the name pw is there twice, lines 1 and 2"),
        (f"pw: {unit}\npw: forged\n", "the name pw is there twice, lines 1 and 2"),
        (f"x: &pw user\n? *pw\n: {unit}\n", "a name that is not written out, line 2"),
        (f"x: &k pw\npw: {unit}\n? *k\n: forged\n", "a name that is not written out, line 3"),
        (f"!t pw: {unit}\n", "a name that is not written out, line 1"),
        (f"x:\n  - <<: {{pw: {unit}}}\n", "a name that is not written out, line 2"),
        (f"x: {{pw: {unit}}}\nx: {{pw: forged}}\n", "the name x is there twice"),
        (f"x: [1, {unit}]\nx: forged\n", "the name x is there twice"),
    ):
        for as_text in (True, False):
            with pytest.raises(UsageError, match=why):
                document(text).shown((), ANN, as_text=as_text)
    twice = f"a: 1\na: 2\n&k b: 1\npw: {unit}\n"
    shown = document(twice).shown((), ANN, as_text=True)
    assert shown.content == twice.replace(unit, "mine"), "other names are theirs who wrote them"
    assert shown.plain == (("a",), ("a",), ("b",))


@pytest.mark.requirement("D11")
def test_json_is_known_by_its_ending_in_any_case():
    found = parsed(Path("APP.JSON"), LABEL, b'{"a":1}')
    assert plain(put(found, "c"), "c") == '{"a":1,"c":"@"}'


@pytest.mark.requirement("D11")
def test_a_field_with_a_mark_is_a_plain_one():
    """What a tag makes of it, nobody vouches for."""
    unit = put(document(""), "pw", "mine").tree["pw"]
    for mark in ("!t", "&n", "&n !t"):
        text = f"pw: {mark} {unit}\n"
        assert document(text).shown((), ANN, as_text=True).content == text
        assert document(text).shown((), ANN, as_text=True).plain == (("pw",),)
        with pytest.raises(UsageError, match="pw is not encrypted, line 1"):
            document(text).value((), ANN)


@pytest.mark.requirement("D11")
def test_values_of_names_that_are_there_twice_are_not_told():
    for text in ("a: 1\na: 2\n", "x:\n- {a: 1, a: 2}\n", "b: &b {a: 1}\nx: {<<: 1, a: 2}\n"):
        with pytest.raises(UsageError, match=r"twice|written out|anchor"):
            document(text).shown((), ANN, as_text=False)
    with pytest.raises(UsageError, match="a name that is not written out, line 1"):
        document("<<: {a: 1}\n").shown((), ANN, as_text=False)


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("large", [False, True])
def test_lines_behind_what_is_taken_out_are_looked_at_too(large, monkeypatch):
    """They would become part of the text before it, which keeps its last lines."""
    if large:
        monkeypatch.setattr(excerpts, "LARGE", -1)
    for before, place, after in (
        ("z: 1\nm:\n  a: |+\n    x\n  b: 2\n\n", "m/b", "z: 1\nm:\n  a: |+\n    x\n"),
        ("m:\n  a: |+\n    x\n  b: 2\n\nz: 1\n", "m/b", "m:\n  a: |+\n    x\nz: 1\n"),
        ("- m:\n    a: |+\n      x\n    b: 2\n\n- z\n", "0/m/b", "- m:\n    a: |+\n      x\n- z\n"),
    ):
        assert document(before).without(parse_place(place)).content().decode() == after


@pytest.mark.requirement("D11")
def test_what_does_not_say_the_same_by_itself_is_not_printed():
    text = "%TAG !e! tag:example.org,2000:\n---\na:\n  b: !e!c d\nx: 1\n"
    with pytest.raises(UsageError, match="line 4 cannot be printed by itself"):
        document(text).shown(("a",), ANN, as_text=True)
    assert document(text).shown((), ANN, as_text=True).content == text
