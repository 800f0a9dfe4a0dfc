"""A real HTTP server on loopback that answers as Twilio's API does when a message is created."""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

from claimnotify.testing.script import Script

__all__ = ["ReceivedSms", "TwilioServer"]

_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_LONGEST = 1600
_Answer = tuple[int, dict[str, Any], dict[str, str]]
"""Status, JSON values, extra headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedSms:
    """One message the server created.

    Args:
        sid: The id it was given.
        to: The recipient's number.
        sender: The number or the messaging service's sid it was to come from.
        body: The text.
    """

    sid: str
    to: str
    sender: str
    body: str = field(repr=False)


class TwilioServer:
    """A context manager around a server for `POST /2010-04-01/Accounts/{sid}/Messages.json`.

    Args:
        account_sid: The one account; made up if empty.
        auth_token: Its token; made up if empty.
        from_number: The number the account owns.
        unsubscribed: Numbers that answered STOP.
    """

    def __init__(
        self,
        *,
        account_sid: str = "",
        auth_token: str = "",
        from_number: str = "+15005550006",
        unsubscribed: frozenset[str] = frozenset(),
    ) -> None:
        self.account_sid = account_sid or f"AC{secrets.token_hex(16)}"
        self.auth_token = auth_token or secrets.token_hex(16)
        self.from_number = from_number
        self.unsubscribed = unsubscribed
        self.requests = 0
        """How many requests came, answered or not."""
        self._messages: list[ReceivedSms] = []
        self._changed = threading.Condition()
        self._script: Script[_Answer] = Script()
        self._closing = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def url(self) -> str:
        """Scheme, host and port, for the setting `twilio_api_url`."""
        if self._server is None:
            raise RuntimeError("TwilioServer is used outside its with block")
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Keywords for `Notifier.from_settings` that make it send here."""
        return {
            "twilio_account_sid": self.account_sid,
            "twilio_auth_token": self.auth_token,
            "twilio_from_number": self.from_number,
            "twilio_api_url": self.url,
        }

    @property
    def messages(self) -> list[ReceivedSms]:
        """The messages created so far, oldest first."""
        with self._changed:
            return list(self._messages)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[ReceivedSms]:
        """Return the messages once there are `count`.

        Raises:
            TimeoutError: If there are fewer after `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._messages) >= count, timeout):
                have = len(self._messages)
                raise TimeoutError(f"{have} of {count} texts arrived within {timeout:g} s")
            return list(self._messages)

    def fail(
        self, status: int, *, code: int | None = None, retry_after: str = "", times: int = 1
    ) -> None:
        """Answer the next `times` requests with `status` and Twilio's own `code`."""
        headers = {"Retry-After": retry_after} if retry_after else {}
        values = _error(status, code if code is not None else 20000 + status, "scripted")
        self._script.plan("request", "reply", times=times, reply=(status, values, headers))

    def hang(self, *, times: int = 1) -> None:
        """Give the next `times` requests no answer at all."""
        self._script.plan("request", "hang", times=times)

    def drop(self, *, times: int = 1) -> None:
        """Close the connection on the next `times` requests instead of creating a message."""
        self._script.plan("request", "drop", times=times)

    def lose_reply(self, *, times: int = 1) -> None:
        """Create the next `times` messages and close the connection before saying so."""
        self._script.plan("request", "lose", times=times)

    def answer(self, path: str, authorization: str, form: Mapping[str, str]) -> _Answer | None:
        """Return what to answer, or None to close without a word. Called by the handler."""
        with self._changed:
            self.requests += 1
        planned = self._script.take("request")
        if planned is not None and planned.action == "reply":
            return planned.reply
        if planned is not None and planned.action == "hang":
            self._closing.wait()
        if planned is not None and planned.action != "lose":
            return None
        made = self._created(path, authorization, form)
        return None if planned is not None else made

    def _created(self, path: str, authorization: str, form: Mapping[str, str]) -> _Answer:
        pair = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if not secrets.compare_digest(authorization.encode(), f"Basic {pair}".encode()):
            return 401, _error(401, 20003, "Authenticate"), {}
        if path != f"/2010-04-01/Accounts/{self.account_sid}/Messages.json":
            return 404, _error(404, 20404, f"The requested resource {path} was not found"), {}
        sender = form.get("MessagingServiceSid") or form.get("From", "")
        refused = self._refusal(form.get("To", ""), sender, form.get("Body", ""))
        if refused is not None:
            return 400, _error(400, *refused), {}
        text = ReceivedSms(
            sid=f"SM{secrets.token_hex(16)}", to=form["To"], sender=sender, body=form["Body"]
        )
        with self._changed:
            self._messages.append(text)
            self._changed.notify_all()
        return 201, self._resource(text), {}

    def _refusal(self, to: str, sender: str, body: str) -> tuple[int, str] | None:
        if not body:
            return 21602, "Message body is required."
        if len(body) > _LONGEST:
            return 21617, "The concatenated message body exceeds the 1600 character limit."
        if not _E164.fullmatch(to):
            return 21211, f"The 'To' number {to} is not a valid phone number."
        if to in self.unsubscribed:
            return 21610, "Attempt to send to unsubscribed recipient"
        if sender != self.from_number:
            return 21606, f"The 'From' number {sender} is not a number of this account."
        return None

    def _resource(self, text: ReceivedSms) -> dict[str, Any]:
        service = text.sender if text.sender.startswith("MG") else None
        now = format_datetime(datetime.now(UTC))
        base = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{text.sid}"
        return {
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "body": text.body,
            "date_created": now,
            "date_sent": None,
            "date_updated": now,
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
            "from": None if service else text.sender,
            "messaging_service_sid": service,
            "num_media": "0",
            "num_segments": "0" if service else "1",
            "price": None,
            "price_unit": "USD",
            "sid": text.sid,
            "status": "accepted" if service else "queued",
            "subresource_uris": {"media": f"{base}/Media.json"},
            "to": text.to,
            "uri": f"{base}.json",
        }


def _error(status: int, code: int, message: str) -> dict[str, Any]:
    return {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # The default of 5 makes the sixth of a burst of connections wait for a second.
    request_queue_size = 128

    def __init__(self, twilio: TwilioServer) -> None:
        self.twilio = twilio
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def do_POST(self) -> None:
        """Create a message, or answer why not."""
        length = int(self.headers.get("Content-Length", "0"))
        raw = parse_qs(self.rfile.read(length).decode(), keep_blank_values=True)
        form = {name: values[-1] for name, values in raw.items()}
        authorization = self.headers.get("Authorization", "")
        answer = self.server.twilio.answer(self.path, authorization, form)
        if answer is None:
            self.close_connection = True
            return
        status, values, headers = answer
        body = json.dumps(values).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the standard error stream belongs to the tests."""
