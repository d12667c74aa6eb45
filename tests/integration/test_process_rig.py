"""The rig itself: what it says of processes is true."""

from __future__ import annotations

import os
import signal


def test_a_formed_domain_is_ready_and_each_copy_is_fresh(town):
    assert town.json("authority", "status", "--profile", "hq")["state"] == "ready"
    keys = town.json("key", "list", "--profile", "app")
    assert {(key["key"], key["state"]) for key in keys} == {
        ("payroll", "active"),
        ("vault", "active"),
    }


def test_a_command_is_a_process_of_its_own_and_its_end_is_seen(town):
    waiting = town.start("key", "create", "other", "--profile", "alice", "--wait", "60")
    town.asked("custody.create", "bob")
    assert waiting.pid != os.getpid()
    assert not waiting.ended()
    assert waiting.stop(signal.SIGKILL).code == -signal.SIGKILL
