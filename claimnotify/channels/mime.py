"""Turns an EmailMessage into the bytes of an internet message, the same on every attempt.

It writes the header block itself (`mail_headers`) and leaves the bodies to the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email import encoders, policy
from email.charset import BASE64, QP, Charset
from email.generator import BytesGenerator
from email.message import Message as Part
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import format_datetime
from hashlib import sha256
from io import BytesIO

from claimnotify.channels.mail_headers import address_line, ascii_domain, extra_lines, header_line
from claimnotify.errors import InvalidInput, PermanentDeliveryError
from claimnotify.model.messages import Attachment, EmailMessage
from claimnotify.model.notifications import Delivery
from claimnotify.model.recipients import check_email

__all__ = ["Mail", "compose", "message_id"]

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BARE_ADDRESS = re.compile(r"[^\s<>\x00-\x1f\x7f]+@[^\s<>@\x00-\x1f\x7f]+")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_POLICY = policy.compat32.clone(linesep="\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """An envelope and the message in it, ready for SMTP.

    Args:
        sender: The envelope's sender, its domain in ASCII.
        recipient: The envelope's one recipient, its domain in ASCII.
        message_id: The value of `Message-ID`, angle brackets included.
        content: The message: lines end in CRLF; ASCII, save for addresses that are not.
        needs_smtputf8: Whether an address has a local part that is not ASCII (RFC 6531).

    Raises:
        InvalidInput: If an address could break out of an SMTP command.
    """

    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    message_id: str
    content: bytes = field(repr=False)
    needs_smtputf8: bool = False

    def __post_init__(self) -> None:
        for address in (self.sender, self.recipient):
            if not _BARE_ADDRESS.fullmatch(address):
                raise InvalidInput("address", "is not exactly one e-mail address", "Correct it.")


def message_id(delivery: Delivery, sender: str) -> str:
    """Return the `Message-ID`: one per notification and address, equal on attempts and replays."""
    address = sha256(delivery.address.casefold().encode("utf-8", "replace")).hexdigest()[:16]
    return f"<{delivery.notification_id}.{address}@{sender.rpartition('@')[2]}>"


def compose(message: EmailMessage, delivery: Delivery, *, sender: str, sender_name: str) -> Mail:
    """Return `message` as a mail to the delivery's address; equal arguments give equal bytes.

    Args:
        message: Subject, bodies and extra headers.
        delivery: Names the address, the time of acceptance and the attachments.
        sender: The From address, which is the envelope's sender as well.
        sender_name: What to show beside it, or empty.

    Raises:
        PermanentDeliveryError: If an address or an extra header cannot be sent.
    """
    try:
        address = check_email(delivery.address, "address")
        sender, recipient = ascii_domain(sender), ascii_domain(address)
        extra = list(extra_lines(message.headers))
    except InvalidInput as error:
        raise PermanentDeliveryError(str(error)) from error
    known = delivery.recipient
    name = known.name if known is not None and known.email == address else None
    identifier = message_id(delivery, sender)
    lines = [
        address_line("From", sender_name, sender),
        address_line("To", name or "", recipient),
        header_line("Subject", message.subject),
        f"Date: {format_datetime(delivery.created_at.astimezone(UTC))}\r\n",
        f"Message-ID: {identifier}\r\n",
        "MIME-Version: 1.0\r\n",
        "Auto-Submitted: auto-generated\r\n",
        *extra,
    ]
    body = _serialized(_body(message, delivery))
    return Mail(
        sender=sender,
        recipient=recipient,
        message_id=identifier,
        content="".join(lines).encode("utf-8") + body,
        needs_smtputf8=not (sender.isascii() and recipient.isascii()),
    )


def _body(message: EmailMessage, delivery: Delivery) -> Part:
    """Return mixed(alternative(text, related(html, inline…)), attachment…), no level too many."""
    seed = sha256(f"{delivery.id}\0{message.text}\0{message.html}".encode("utf-8", "replace"))
    boundary = f"=_{seed.hexdigest()[:40]}"
    inline = [each for each in delivery.attachments if each.content_id and message.html is not None]
    others = [each for each in delivery.attachments if each not in inline]
    body: Part = _text("plain", message.text)
    if message.html is not None:
        html = _text("html", message.html)
        related = _multipart("related", f"{boundary}_r", [html, *map(_inline, inline)])
        body = _multipart("alternative", f"{boundary}_a", [body, related if inline else html])
    if others:
        body = _multipart("mixed", f"{boundary}_m", [body, *map(_attached, others)])
    return body


def _multipart(kind: str, boundary: str, parts: Sequence[Part]) -> Part:
    whole = MIMEMultipart(kind, boundary)
    for part in parts:
        whole.attach(part)
    return whole


def _text(kind: str, text: str) -> Part:
    """Return a UTF-8 part, quoted-printable unless that would be the longer one."""
    clean = _UNPRINTABLE.sub("", text).encode("utf-8", "replace").decode("utf-8")
    clean = _LINE_BREAK.sub("\r\n", clean)
    charset = Charset("utf-8")
    wide = sum(not character.isascii() for character in clean)
    charset.body_encoding = BASE64 if wide * 4 > len(clean) else QP
    part = MIMENonMultipart("text", kind, charset="utf-8")
    part.set_payload(clean, charset)
    return part


def _inline(attachment: Attachment) -> Part:
    part = _file(attachment, "inline")
    part["Content-ID"] = f"<{_UNPRINTABLE.sub('_', attachment.content_id or '')}>"
    return part


def _attached(attachment: Attachment) -> Part:
    return _file(attachment, "attachment")


def _file(attachment: Attachment, disposition: str) -> Part:
    main, _, sub = attachment.content_type.partition("/")
    if main.lower() in ("multipart", "message"):
        # RFC 2046 section 5 forbids base64 for these two; as plain bytes they arrive unharmed.
        main, sub = "application", "octet-stream"
    part = MIMEBase(main, sub)
    part.set_payload(attachment.content)
    encoders.encode_base64(part)
    filename = " ".join(_UNPRINTABLE.sub("_", attachment.filename).split())
    filename = filename.encode("utf-8", "replace").decode("utf-8")
    part.add_header("Content-Disposition", disposition, filename=filename)
    return part


def _serialized(part: Part) -> bytes:
    # Only the message as a whole has a MIME-Version, and that is among our own lines.
    for each in part.walk():
        del each["MIME-Version"]
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False, policy=_POLICY).flatten(part)
    return written.getvalue()
