"""From a URL to a store, and from the URL of an object to what it is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tigertally.base.errors import UsageError
from tigertally.delegation.stores.interface import ObjectStore, Place
from tigertally.delegation.stores.local import LocalStore


def open_store(url: str, last_look: Callable[[Sequence[str]], None] | None = None) -> ObjectStore:
    """The store at a URL: `file:///folder`, or a plain path.

    Args:
        url: of the store.
        last_look: called with the path of each object that is written, before it gets its name,
            where something could be lost by that; may raise.

    Raises:
        UsageError: another kind of URL.
    """
    plain = url.rstrip("/") or "/"
    if last_look is None:
        return LocalStore(plain, folder_of(url))
    return LocalStore(plain, folder_of(url), last_look)


def place_of(url: str) -> Place:
    """Return where the URL of a file, folder or store leads.

    Raises:
        UsageError: another kind of URL.
    """
    folder = folder_of(url)
    return Place(store=LocalStore("", Path("/")), names=folder.parts[1:])


def folder_of(url: str) -> Path:
    """The local folder or file that a URL names, absolute.

    Raises:
        UsageError: another kind of URL.
    """
    scheme, colon, _ = url.partition("://")
    if not colon:
        if not url or url.startswith("file:"):
            raise UsageError("say where the store is: a folder, or file:///folder")
        return Path(os.path.normpath(Path(url).absolute()))
    parts = urlsplit(url)
    if scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise UsageError(f"no store of this kind here: {url}; say a folder, or file:///folder")
    return Path(os.path.normpath(unquote(parts.path)))
