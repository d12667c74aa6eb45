"""Nothing new goes below a name that people cannot see; what is there can be read."""

from __future__ import annotations

import pytest

from delegation_rig import NOW, MemoryObjects, label, person, read, write
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.client import channels, folders
from tigertally.delegation.protocol import writing

ODD = "pay\u202eroll"


def test_a_file_of_before_is_read_and_no_new_one_is_written(monkeypatch):
    owner, store = person("before"), MemoryObjects()
    with monkeypatch.context() as before:
        before.setattr(writing, "new_label", lambda path: path)
        write(owner, store, f"hr/{ODD}", b"wages")
    kept = dict(store.objects)
    with pytest.raises(MalformedMessage, match="unseen"):
        write(owner, store, f"hr/{ODD}", b"other")
    assert store.objects == kept
    assert read(owner, store, f"hr/{ODD}")[0] == b"wages"


def test_no_stream_and_no_grant():
    owner, store = person("new"), MemoryObjects()
    with pytest.raises(MalformedMessage, match="unseen"):
        channels.write_stream(owner, store, label(f"live/{ODD}"), [b"x"], clock=lambda: NOW)
    with pytest.raises(MalformedMessage, match="unseen"):
        owner.label_card(label(ODD), writers=[owner.signing_key.public], expires=NOW + 1)
    assert store.objects == {}


def test_a_folder_says_which_file_it_is(tmp_path):
    owner, store = person("folder"), MemoryObjects()
    (tmp_path / "good").write_bytes(b"1")
    (tmp_path / ODD).write_bytes(b"2")
    with pytest.raises(UsageError, match=r"pay\\u202eroll cannot be written"):
        folders.write_folder(owner, store, tmp_path, label("x"), now=NOW)
    assert store.objects == {}
