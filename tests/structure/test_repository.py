"""No tracked file names a package registry or a folder of somebody's machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sources import ROOT, name_of, tracked_files

# Written in pieces, so that this file does not find itself.
REGISTRY = re.compile(
    "--(?:extra-)?index" + "-url|--find" + "-links"
    r"|https?://[^\s\"'<>]+/simple" + r"/?(?:[\s\"'<>]|$)"
    r'|"resolved": *"' + "https?:",
    re.MULTILINE,
)
HOME = re.compile(
    "/(?:ho" + r"me|Us" + r"ers)/[A-Za-z0-9._-]+/|(?<![\w.])/ro" + r"ot/|/wo" + r"rk/"
)
LOCKS = ("requirements/run.txt", "requirements/dev.txt")


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


@pytest.mark.parametrize("path", tracked_files(), ids=name_of)
def test_no_registry_and_no_path_of_a_machine(path):
    text = text_of(path)
    checkout = str(ROOT.parent) + "/"
    assert (found := REGISTRY.search(text)) is None, found
    assert (found := HOME.search(text)) is None, found
    assert len(checkout) < 4 or checkout not in text


@pytest.mark.parametrize(
    "line",
    [
        "--index" + "-url https://packages.example",
        "https://packages.example/simp" + "le/",
        '"resolved": "ht' + 'tps://packages.example/a.tgz"',
    ],
)
def test_a_registry_is_recognised(line):
    assert REGISTRY.search(line)


@pytest.mark.parametrize("line", ["cd /ho" + "me/ada/tally", 'open("/ro' + 'ot/x")'])
def test_a_home_is_recognised(line):
    assert HOME.search(line)


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_is_pinned_and_hashed(name):
    text = (ROOT / name).read_text("utf-8")
    pins = re.findall(r"^([a-z0-9][a-z0-9._-]*)==\S+", text, re.MULTILINE)
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(pins) == len(blocks) > 20
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_the_locks_agree():
    run, dev = (
        {
            line.partition(" ")[0]
            for line in (ROOT / name).read_text("utf-8").splitlines()
            if re.match("[a-z0-9]", line)
        }
        for name in LOCKS
    )
    assert run <= dev
