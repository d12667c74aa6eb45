"""The interface costs nothing to import and its values do not change."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from tigertally.transport.channel import Request


def test_a_request_is_frozen():
    request = Request(path="/x", body=b"1")
    assert request.peer is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.body = b"2"


def test_the_interface_loads_no_network_and_no_cryptography():
    script = (
        "import sys, tigertally.transport.channel as c\n"
        "print([m for m in ('aiohttp', 'asyncio', 'cryptography', 'nacl', 'ssl') "
        "if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"
