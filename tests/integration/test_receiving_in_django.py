"""Django with transactions around requests: a webhook counts as handled once that is committed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# In a process of its own, as Django takes its settings once.
_SETTINGS = """
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

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.test import Client
from django.urls import path
from claimnotify.errors import ConfigurationError
from claimnotify.webhooks import generate_secret, signed_headers
from claimnotify.webhooks.receiving import Intake, MemorySeenIds
from claimnotify.webhooks.receiving.django import receives_webhooks

secret = generate_secret()
intake = Intake(secret, seen=MemorySeenIds())

def post(path):
    body = b'{"type":"claim.approved"}'
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    return client.post(
        path,
        body,
        content_type="application/json",
        headers=signed_headers([secret], "msg_1", datetime.now(UTC), body),
    ).status_code
"""

_COMMITTING = """
customer = 7
calls = []

@receives_webhooks(intake)
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

statuses = [post("/webhooks/eu")]   # it cannot be committed: there is no customer 7
customer = 8
statuses += [post("/webhooks/eu"), post("/webhooks/eu")]
with connection.cursor() as cursor:
    kept = cursor.execute("SELECT customer FROM claims").fetchall()
print(statuses, calls, kept)
"""

_ASYNCHRONOUS = """
async def receive(request, webhook):
    print(await sync_to_async(lambda: connection.in_atomic_block)())

try:
    receives_webhooks(intake)(receive)
except ConfigurationError as error:
    print(error)
urlpatterns = [path("webhooks", receives_webhooks(intake)(transaction.non_atomic_requests(receive)))]
print(post("/webhooks"))
"""

_EXEMPT = """
@receives_webhooks(intake)
@transaction.non_atomic_requests
def receive(request, webhook):
    print(connection.in_atomic_block)

urlpatterns = [path("webhooks", receive)]
print(post("/webhooks"))
"""


def printed(script: str, folder: Path) -> list[str]:
    """Return the lines that a site with these views prints."""
    done = subprocess.run(
        [sys.executable, "-c", _SETTINGS + script, str(folder / "site.db")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_could_not_be_committed_is_handled_when_it_comes_again(tmp_path: Path) -> None:
    """The handler is in Django's transaction, and the claim on the id outside it."""
    call = ("msg_1", "eu", True)
    assert printed(_COMMITTING, tmp_path) == [f"{[500, 204, 200]} {[call, call]} {[(8,)]}"]


def test_a_coroutine_function_is_never_left_without_its_transaction(tmp_path: Path) -> None:
    """Django has none for it and refuses such views too; whoever wants none says so."""
    refused, *answered = printed(_ASYNCHRONOUS, tmp_path)
    assert "coroutine function receive" in refused
    assert "@transaction.non_atomic_requests(using='default')" in refused
    assert answered == ["False", "204"]


def test_a_handler_that_wants_no_transaction_has_none(tmp_path: Path) -> None:
    assert printed(_EXEMPT, tmp_path) == ["False", "204"]
