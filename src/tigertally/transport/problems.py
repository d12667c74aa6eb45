"""Errors as RFC 9457 problem documents, and back.

No I/O. Members: `type` (`urn:tigertally:problem:` and the slug of `base/errors.py`), `title` (the
message), `status`, and as extensions `code` (exit code), `advice` (with which the message ends;
left out where it gives none), `culprits`, `sure`. An exception that is not of our tree becomes a
document that says nothing about it.
"""

from __future__ import annotations

import json
from typing import Any

from tigertally.base import errors
from tigertally.base.errors import MalformedMessage, PeerFault, TigertallyError
from tigertally.base.text import visible

CONTENT_TYPE = "application/problem+json"

_TYPE_PREFIX = "urn:tigertally:problem:"
_INTERNAL = "internal error; its log says more"
_MAX_DOCUMENT_BYTES = 64 * 1024  # 255 culprits and one message
_MAX_TITLE_LENGTH = 2000  # characters; more than any error of ours says
_MAX_ADVICE_LENGTH = 200  # characters; a sentence
_MAX_CULPRITS = 1024
_MAX_CULPRIT_LENGTH = 128  # a name, or a fingerprint in groups


def _tree(root: type[TigertallyError]) -> list[type[TigertallyError]]:
    return [root, *(c for child in root.__subclasses__() for c in _tree(child))]


_BASE_ERRORS = [kind for kind in _tree(TigertallyError) if kind.__module__ == errors.__name__]
_BY_SLUG = {kind.slug: kind for kind in _BASE_ERRORS}
# For a slug from a newer version: the most general error with that exit code.
_BY_CODE = {kind.code: kind for kind in reversed(_BASE_ERRORS)} | {5: PeerFault}


def to_document(error: BaseException, *, status: int | None = None) -> tuple[int, bytes]:
    """The HTTP status and the document of an error.

    Args:
        error: of any kind; one outside the tree is reported as an internal error.
        status: instead of the error's own HTTP status.

    **Security:** nothing of an unknown exception is shown, not even its class.
    """
    if not isinstance(error, TigertallyError):
        error = TigertallyError(_INTERNAL)
    status = error.status if status is None else status
    document: dict[str, Any] = {
        "type": _TYPE_PREFIX + error.slug,
        "title": str(error),
        "status": status,
        "code": error.code,
    }
    if 0 < len(error.advice) <= _MAX_ADVICE_LENGTH:  # a longer one stands in the title alone
        document["advice"] = error.advice
    if isinstance(error, PeerFault):
        document["culprits"] = list(error.culprits)
        document["sure"] = error.sure
    return status, json.dumps(document, ensure_ascii=False).encode()


def from_document(raw: bytes) -> TigertallyError:
    """The error that a document speaks of, ready to be raised.

    Raises:
        MalformedMessage: not a problem document of this protocol.

    **Security:** the text comes from the other side and ends on screens: characters that
    would not be seen (terminal sequences, direction overrides, blanks) are written out.
    """
    document = _parsed(raw)
    kind_url, title, code = (document.get(name) for name in ("type", "title", "code"))
    if not isinstance(kind_url, str) or not kind_url.startswith(_TYPE_PREFIX):
        raise MalformedMessage("a problem document of another protocol")
    if not isinstance(title, str) or len(title) > _MAX_TITLE_LENGTH or type(code) is not int:
        raise MalformedMessage("a problem document needs a title and a code")
    kind = _BY_SLUG.get(kind_url.removeprefix(_TYPE_PREFIX)) or _BY_CODE.get(code, TigertallyError)
    advice = document.get("advice", "")  # a program of before says none
    if not isinstance(advice, str):
        raise MalformedMessage("the advice of a problem document is a text")
    # What is no end of the sentence would only take the place of our own advice, unseen.
    if len(advice) > _MAX_ADVICE_LENGTH or not advice.strip() or not title.endswith(advice):
        advice = ""
    if issubclass(kind, PeerFault):
        culprits, sure = _blame(document)
        error: TigertallyError = kind(visible(title), culprits=culprits, sure=sure)
    else:
        error = kind(visible(title))
    error.advice = visible(advice)  # not by its making: the title ends with it already
    return error


def _blame(document: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    culprits, sure = document.get("culprits", []), document.get("sure", False)
    if not isinstance(culprits, list) or len(culprits) > _MAX_CULPRITS or type(sure) is not bool:
        raise MalformedMessage("a problem document names culprits in a list")
    if not all(isinstance(name, str) and len(name) <= _MAX_CULPRIT_LENGTH for name in culprits):
        raise MalformedMessage("a culprit is a short text")
    return tuple(map(visible, culprits)), sure


def _parsed(raw: bytes) -> dict[str, Any]:
    if len(raw) > _MAX_DOCUMENT_BYTES:
        raise MalformedMessage(f"a problem document has at most {_MAX_DOCUMENT_BYTES} bytes")
    try:
        document = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("a problem document is JSON") from error
    if not isinstance(document, dict):
        raise MalformedMessage("a problem document is a JSON object")
    return document
