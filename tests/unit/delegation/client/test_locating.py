from __future__ import annotations

import io

import pytest

from delegation_rig import NOW, label, person
from tigertally.base.errors import InvalidSignature, Refused, Unavailable, UsageError
from tigertally.delegation.client.channels import write_stream
from tigertally.delegation.client.files import write_file
from tigertally.delegation.client.locating import locate
from tigertally.delegation.stores.open import open_store, place_of

ANN = person("ann")


@pytest.fixture
def folder(tmp_path):
    store = open_store(str(tmp_path / "store"))
    for path in ("a/b/c", "a/x"):
        write_file(
            store,
            ANN.levels(label(path)[:-1]),
            label(path),
            io.BytesIO(b""),
            sender=ANN.signing_key,
            now=NOW,
        )
    return tmp_path / "store"


def found(place, known=()):
    location = locate(str(place), ANN, [str(one) for one in known])
    return location.store.url, "/".join(location.label), location.files


@pytest.mark.requirement("D12")
def test_the_file_says_where_its_store_ends(folder):
    for known in ([], [folder], [folder, folder.parent]):
        assert found(folder / "a" / "b" / "c", known) == (str(folder), "a/b/c", None)
        assert found(folder / "a", known) == (str(folder), "a", (label("a/x"), label("a/b/c")))
        assert found(folder / "a" / "b", known) == (str(folder), "a/b", (label("a/b/c"),))
    assert found(folder)[:2] == (str(folder), "")


def test_a_file_in_another_place_is_refused(folder):
    place = folder / "z" / "a"
    place.mkdir(parents=True)
    for name in ("x", "x.keys"):
        (place / name).write_bytes((folder / "a" / name).read_bytes())
    assert found(place / "x")[:2] == (str(folder / "z"), "a/x"), "a stranger cannot know better"
    for wrong in (place / "x", place):
        with pytest.raises(InvalidSignature, match="was written for a"):
            found(wrong, [folder])
    for name in ("x", "x.keys"):
        (place / name).rename(place / name.replace("x", "y"))
    for known in ([], [folder]):
        with pytest.raises(InvalidSignature, match="was written for a"):
            found(place / "y", known)
        with pytest.raises(InvalidSignature, match="was written for a"):
            found(place, known)
    with pytest.raises(Unavailable):
        found(folder / "q")
    (folder / "empty").mkdir()
    with pytest.raises(Unavailable):
        found(folder / "empty")


def test_what_is_no_file_is_told_apart(folder):
    with pytest.raises(UsageError, match=r"without \.keys"):
        found(folder / "a" / "x.keys")
    with pytest.raises(Refused, match="a/x has no key slot for you"):
        locate(str(folder / "a" / "x"), person("bob"), [])
    (folder / "a" / "x.keys").unlink()
    with pytest.raises(Unavailable, match="without these key slots nobody opens x"):
        found(folder / "a" / "x")
    write_stream(ANN, open_store(str(folder)), label("live"), [b"1"], clock=lambda: NOW)
    with pytest.raises(UsageError, match="tally stream read"):
        found(folder / "live")


@pytest.mark.requirement("D8")
def test_a_place_is_a_store_and_names_in_it(folder):
    place = place_of(str(folder / "a"))
    assert place.url == str(folder / "a")
    assert place_of(f"file://{folder}/a").url == place.url
    objects = [names for names in place.objects() if not names[-1].endswith(".keys")]
    assert objects == [("x",), ("b", "c")]
    with place.store.get(place.below(objects[1]).names) as source:
        assert source.read() == (folder / "a" / "b" / "c").read_bytes()
    assert place.above(1).url == str(folder)
    assert place.is_within(place.above(1))
    assert place.is_within(place)
    assert not place.above(1).is_within(place)
    assert not place_of(str(folder / "ab")).is_within(place)


@pytest.mark.parametrize("url", ["s3://bucket/a", "https://host/a", "file://host/a", ""])
def test_a_store_of_a_kind_that_is_not_there_is_refused_in_words(url):
    with pytest.raises(UsageError, match=r"say .*a folder, or file:///folder"):
        place_of(url)
