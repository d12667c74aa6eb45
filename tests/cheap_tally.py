"""`tally` whose new passphrases are cheap to try; nothing else is different.

What is sealed under a passphrase says itself what a try costs, so that others open it as cheaply.
`python tests/cheap_tally.py ARGS` is `tally ARGS`. The true cost is paid by those who start Python
anew: the README (`cli/test_pages_run.py`), and `unit/crypto/test_passphrase.py` measures what is
written.
"""

from __future__ import annotations


def make_cheap() -> None:
    """For this process; before other modules take the usual cost as their default."""
    from tigertally.crypto import passphrase

    passphrase.INTERACTIVE = passphrase.FOR_TESTS_ONLY
    assert passphrase.seal.__kwdefaults__ is not None
    passphrase.seal.__kwdefaults__["parameters"] = passphrase.FOR_TESTS_ONLY


if __name__ == "__main__":
    make_cheap()
    from tigertally.cli.main import main

    main()
