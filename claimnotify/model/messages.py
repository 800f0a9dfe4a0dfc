"""Rendered content, one type per channel, and its form as JSON. No sending, no templates."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

from claimnotify.errors import InvalidInput
from claimnotify.model.checks import is_series

__all__ = [
    "Attachment",
    "EmailMessage",
    "InAppMessage",
    "Message",
    "SmsMessage",
    "WebhookMessage",
    "check_attachments",
    "message_from_json",
    "message_to_json",
]

_MAX_ATTACHMENTS = 20 * 1024 * 1024
_LONGEST_NAME = 255
_FILENAME = re.compile(r"[^\r\n\x00\"/\\\ud800-\udfff]+")
_MIME_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9.+-]{0,63}", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes with an e-mail.

    Args:
        filename: A name without path separators, quotes or line breaks.
        content: The bytes.
        content_type: A MIME type such as `application/pdf`.
        content_id: For an inline part: what `cid:` in the HTML refers to.

    Raises:
        InvalidInput: If the name or the type could break a header, or the content is not bytes.
    """

    filename: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"
    content_id: str | None = None

    def __post_init__(self) -> None:
        if not _is_text(self.filename) or not _FILENAME.fullmatch(self.filename):
            raise InvalidInput(
                "attachment.filename",
                f"is not text of 1 to {_LONGEST_NAME} characters without path separators, quotes "
                "and line breaks",
                "Give a plain file name.",
            )
        if not isinstance(self.content, bytes):
            raise InvalidInput(
                "attachment.content", f"is a {type(self.content).__name__}", "Give the bytes."
            )
        if not _is_text(self.content_type) or not _MIME_TYPE.fullmatch(self.content_type):
            raise InvalidInput(
                "attachment.content_type", "is not a MIME type", "Give one such as application/pdf."
            )
        if self.content_id is not None and (
            not _is_text(self.content_id)
            or not self.content_id.isascii()
            or set(self.content_id) & set("<> \r\n\t\x00")
        ):
            raise InvalidInput("attachment.content_id", "has forbidden characters", "Use letters.")


def check_attachments(given: object) -> tuple[Attachment, ...]:
    """Return `given` as a tuple if it is a list, or any other series, of attachments.

    Raises:
        InvalidInput: It is not, or they are too large together.
    """
    if type(given) is tuple and not given:
        return ()
    remedy = "Give a list of Attachments."
    if not is_series(given):
        raise InvalidInput("attachments", f"is a {type(given).__name__}", remedy)
    files = tuple(given)
    for each in files:
        if not isinstance(each, Attachment):
            raise InvalidInput("attachments", f"has a {type(each).__name__}", remedy)
    if sum(len(each.content) for each in files) > _MAX_ATTACHMENTS:
        raise InvalidInput("attachments", "are larger than 20 MiB together", "Send a link instead.")
    return files


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_NAME


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EmailMessage:
    """One e-mail's subject and body. Attachments travel apart, on the delivery."""

    subject: str
    text: str
    html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SmsMessage:
    """One text message."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class InAppMessage:
    """One item in a recipient's inbox."""

    title: str
    body: str
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WebhookMessage:
    """The exact body of a webhook; UTF-8 JSON, the same bytes on every attempt."""

    body: bytes


Message: TypeAlias = EmailMessage | SmsMessage | InAppMessage | WebhookMessage

_KINDS: dict[str, type[Message]] = {
    "email": EmailMessage,
    "sms": SmsMessage,
    "in_app": InAppMessage,
    "webhook": WebhookMessage,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def message_to_json(message: Message) -> str:
    """Return `message` as the JSON text kept on its delivery."""
    values: dict[str, Any] = asdict(message)
    if isinstance(message, WebhookMessage):
        values["body"] = base64.b64encode(message.body).decode()
    return json.dumps({"kind": _NAMES[type(message)], **values}, ensure_ascii=False)


def message_from_json(text: str) -> Message:
    """Return the message `message_to_json` described; keys of a later version are ignored."""
    values = json.loads(text)
    kind = _KINDS[values.pop("kind")]
    if kind is WebhookMessage:
        values["body"] = base64.b64decode(values["body"])
    known = {each.name for each in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})
