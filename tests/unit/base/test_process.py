from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, resource
from tigertally.base.process import harden
before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
result = harden()
after = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(before, after, *resource.getrlimit(resource.RLIMIT_CORE))
print(result.no_core_dumps, result.no_tracing)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel by prctl")
def test_harden_switches_off_core_dumps_and_tracing() -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["1", "0", "0", "0", "True", "True"]


def test_a_daemon_that_has_settled_down_still_frees_cycles() -> None:
    script = """
import gc, weakref
from tigertally.base.process import settle_down
settle_down()
class Ring: pass
ring = Ring(); ring.itself = ring; seen = weakref.ref(ring); del ring
kept = [[] for _ in range(50_000)]
print(gc.get_freeze_count() > 1000, gc.isenabled(), seen() is None)
"""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["True", "True", "True"]
