"""Django with transactions around requests: a webhook counts as handled once that is committed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# In a process of its own, as Django takes its settings once.
_SITE = """
import sys
import django
from datetime import UTC, datetime
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": sys.argv[1],
            "ATOMIC_REQUESTS": True,
        }
    },
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="a key for tests",
)
django.setup()

from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from claimnotify.webhooks import generate_secret, signed_headers
from claimnotify.webhooks.receiving import Intake, MemorySeenIds
from claimnotify.webhooks.receiving.django import receives_webhooks

secret = generate_secret()
customer = 7
calls = []

@receives_webhooks(Intake(secret, seen=MemorySeenIds()))
def receive(request, webhook, region):
    calls.append((webhook.id, region, connection.in_atomic_block))
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO claims VALUES (%s)", [customer])

urlpatterns = [path("webhooks/<region>", receive)]

with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY)")
    cursor.execute(
        "CREATE TABLE claims (customer INTEGER REFERENCES customers DEFERRABLE INITIALLY DEFERRED)"
    )
    cursor.execute("INSERT INTO customers VALUES (8)")

def post():
    body = b'{"type":"claim.approved"}'
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    return client.post(
        "/webhooks/eu",
        body,
        content_type="application/json",
        headers=signed_headers([secret], "msg_1", datetime.now(UTC), body),
    ).status_code

statuses = [post()]   # the transaction cannot be committed: there is no customer 7
customer = 8
statuses += [post(), post()]
with connection.cursor() as cursor:
    kept = cursor.execute("SELECT customer FROM claims").fetchall()
print(statuses, calls, kept)
"""


def test_what_could_not_be_committed_is_handled_when_it_comes_again(tmp_path: Path) -> None:
    """The handler is in Django's transaction, and the claim on the id outside it."""
    done = subprocess.run(
        [sys.executable, "-c", _SITE, str(tmp_path / "site.db")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    call = ("msg_1", "eu", True)
    assert done.stdout.strip() == f"{[500, 204, 200]} {[call, call]} {[(8,)]}"
