"""What a team's task does for one webhook: load the row, sign, post, write what became of it.

Sessions and connections are made once per worker process: `requests.Session` keeps connections.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from datetime import UTC, datetime
from typing import Any

import requests

from peers.rows import WebhookDelivery, make_engine, make_sessions

_TIMEOUT = (3.05, 15)
_MOST_ENDPOINTS = 128


class Deliverer:
    """The state of one worker process."""

    def __init__(self) -> None:
        self._sessions = make_sessions(make_engine(os.environ["BENCH_DATABASE_URL"]))
        self._http = requests.Session()
        self._http.trust_env = False  # else the environment is searched for a proxy at each request
        adapter = requests.adapters.HTTPAdapter(_MOST_ENDPOINTS, _MOST_ENDPOINTS)
        self._http.mount("http://", adapter)

    def deliver(self, delivery_id: int) -> bool:
        """Send one webhook and record the outcome; return whether it was delivered."""
        with self._sessions() as session:
            row = session.get_one(WebhookDelivery, delivery_id)
            if row.status == "delivered":
                return True
            body = json.dumps(
                {
                    "type": row.event_type,
                    "timestamp": row.created_at.isoformat(),
                    "data": row.payload,
                }
            ).encode()
            headers = signed(row.endpoint.secret, f"msg_{row.id}", body)
            row.attempts += 1
            try:
                response = self._http.post(
                    row.endpoint.url, data=body, headers=headers, timeout=_TIMEOUT
                )
            except requests.RequestException as error:
                row.error = str(error)[:500]
            else:
                row.response_code = response.status_code
                if response.ok:
                    row.status = "delivered"
                    row.delivered_at = datetime.now(UTC)
            session.commit()
            return row.status == "delivered"


def signed(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    timestamp = int(time.time())
    to_sign = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, to_sign, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def payload(number: int) -> dict[str, Any]:
    """Return the same data that our event has."""
    return {
        "number": number,
        "booking": f"BK-{number}",
        "flight": "LH 1234",
        "seat": "12A",
        "passenger": "Ana Jäger",
    }
