"""No clock, no network, no disk, no randomness where the rules of the house say so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sources import PACKAGE, name_of, package_files

FORBIDDEN_MODULES = {
    "asyncio",
    "logging",
    "random",
    "secrets",
    "select",
    "socket",
    "sqlite3",
    "ssl",
    "structlog",
    "subprocess",
    "threading",
    "time",
}
FORBIDDEN_CALLS = {("os", "urandom"), ("os", "getrandom")}
# Of the quorum: these send and wait.
NODE_SIDE = {"proposals", "client", "join", "audit", "ongoing", "roster_changes", "versions"}
PURE_FLOORS = {"base", "algebra", "crypto", "schemes", "attestation", "quorum"}

# Where a floor must touch the world after all, what it touches, and why.
NONCE = "a nonce is drawn where it is used, so that no caller can pass one twice"
ALLOWED: dict[tuple[str, str], str] = {
    ("base/clock.py", "time"): "the one clock, behind the interface",
    ("base/recent.py", "threading"): "a lock: several threads share what was computed",
    ("base/randomness.py", "os.urandom"): "the one source of randomness, behind the interface",
    ("crypto/aead.py", "os.urandom"): NONCE,
    ("crypto/passphrase.py", "os.urandom"): NONCE,
    ("crypto/certificates.py", "os.urandom"): "the password of a key file that lives for moments",
    ("crypto/certificates.py", "ssl"): "makes the TLS contexts that transport uses",
    ("crypto/files.py", "secrets"): "the name of a temporary file",
}


def must_be_pure(path: Path) -> bool:
    """Schemes and below, attestation, quorum but its node side, and every `protocol`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if "protocol" in parts:
        return True
    if parts[0] == "quorum":
        return parts[-1] not in NODE_SIDE
    return parts[0] in PURE_FLOORS


def worldly(tree: ast.Module) -> set[str]:
    """The forbidden modules and calls that a file uses; late imports count."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            top = node.module.partition(".")[0]
            found |= {top} & FORBIDDEN_MODULES
            names = {(top, alias.name) for alias in node.names}
            found |= {f"{m}.{n}" for m, n in names & FORBIDDEN_CALLS}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in FORBIDDEN_CALLS:
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
            found.add("async")
    return found


PURE_FILES = [path for path in package_files() if must_be_pure(path)]


@pytest.mark.parametrize("path", PURE_FILES, ids=name_of)
def test_does_not_touch_the_world(path):
    inside = path.relative_to(PACKAGE).as_posix()
    found = worldly(ast.parse(path.read_text("utf-8")))
    assert {what for what in found if (inside, what) not in ALLOWED} == set()


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import time", "time"),
        ("from time import monotonic", "time"),
        ("def f():\n    import socket", "socket"),
        ("import os\nos.urandom(3)", "os.urandom"),
        ("from os import urandom", "os.urandom"),
        ("import secrets", "secrets"),
        ("async def f(): pass", "async"),
    ],
)
def test_the_world_is_recognised(source, what):
    assert worldly(ast.parse(source)) == {what}


def test_the_rule_covers_the_floors_it_names():
    assert must_be_pure(PACKAGE / "custody" / "protocol.py")
    assert must_be_pure(PACKAGE / "custody" / "protocol" / "holder.py")
    assert must_be_pure(PACKAGE / "quorum" / "tally.py")
    assert must_be_pure(PACKAGE / "schemes" / "shamir.py")
    assert not must_be_pure(PACKAGE / "quorum" / "member" / "client.py")
    assert not must_be_pure(PACKAGE / "custody" / "service" / "lock.py")
    assert len(PURE_FILES) > 10


CAPABILITIES = {"custody", "signing", "release", "delegation", "ledger", "quorum", "node", "cli"}
DATABASE = {"sqlalchemy", "alembic", "sqlite3"}


def database(tree: ast.Module) -> set[str]:
    """The modules of a database that a file imports; late imports count."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found & DATABASE


def test_only_storage_knows_the_database():
    using = {
        path.relative_to(PACKAGE).parts[0]
        for path in package_files()
        if database(ast.parse(path.read_text("utf-8")))
    }
    assert not using & CAPABILITIES
    assert using == {"storage"}, "the control: where it is used, it is found"


@pytest.mark.parametrize(
    "text", ["import sqlalchemy.orm", "def f():\n    from sqlalchemy import text", "import sqlite3"]
)
def test_an_import_of_the_database_is_found_wherever_it_stands(text):
    assert database(ast.parse(text))
