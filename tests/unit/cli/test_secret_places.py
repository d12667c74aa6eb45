from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from delegation_rig import NOW, label, person
from tigertally.base.errors import Refused, Unavailable, UsageError
from tigertally.base.ids import Name
from tigertally.cli import stream
from tigertally.cli.data import from_store
from tigertally.cli.secret import _complete_place, _given
from tigertally.delegation.client.documents import parsed


def test_places_of_a_document_complete(tmp_path):
    path = tmp_path / "app.yaml"
    empty = parsed(path, label("app.yaml"), None)
    tree = {"db": {"password": "x", "port": 1}, "name": "y"}
    empty.with_value((), tree, person("ann"), NOW).save()
    asked = SimpleNamespace(params={"doc": str(path)})
    assert _complete_place(asked, "") == ["db", "db/password", "db/port", "name"]
    assert _complete_place(asked, "db/pa") == ["db/password"]
    for doc in (str(tmp_path / "none"), str(tmp_path), "s3://x/y"):
        assert _complete_place(SimpleNamespace(params={"doc": doc}), "") == []


def test_errors_of_a_store_say_what_to_do_once():
    with pytest.raises(Unavailable) as caught, from_store():
        raise Unavailable("there is no x")
    assert caught.value.__notes__ == ["check the place, or try again when the store is there"]
    refused = Refused("not signed")
    refused.add_note("ask for it with --unsigned")
    with pytest.raises(Refused), from_store():
        raise refused
    assert refused.__notes__ == ["ask for it with --unsigned"]


def test_a_closed_standard_input_or_output_is_no_empty_one(monkeypatch):
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, None)
    with pytest.raises(UsageError, match="standard input is closed"):
        _given(None)
    with pytest.raises(UsageError, match="standard input is closed"):
        stream.write(Name("ann"), label("x"), "store")
    with pytest.raises(UsageError, match="standard output is closed"):
        stream.read("store/x", Name("ann"))
    assert not Path("store").exists()
