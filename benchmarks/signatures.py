"""Signing and verifying a webhook, against the packages `standardwebhooks` and `svix`.

All three verify what the same secret signed, as bytes: once with the body parsed, as it is by
default, and once without. The package `svix` never parses, so its receiver does.
"""

from __future__ import annotations

import base64
import json
import time
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import standardwebhooks
import svix.webhooks
from measuring.figures import Figure, at_least
from measuring.pairing import Segment, alternate, ratios, sized
from measuring.program import Report, options, run

from claimnotify.webhooks import Webhook

_SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
_BODY = json.dumps(
    {
        "type": "claim.approved",
        "timestamp": "2026-11-02T09:30:00.000000Z",
        "data": {
            "claim_id": "CLM-2041",
            "passenger_name": "Ana Jäger",
            "flight_number": "LH 1234",
            "origin": "BER",
            "destination": "LIS",
            "amount": {"amount": "250.00", "currency": "EUR"},
        },
    }
)
_ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
_RECEIVED = _BODY.encode()


def main() -> None:
    """Read the options and run."""
    arguments = options(__doc__ or "").parse_args()
    run("signatures", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Time signing, then verifying, each package in turn."""
    seconds = 0.2 if arguments.quick else 1.0
    rounds = arguments.rounds or (2 if arguments.quick else 7)
    now = datetime.now(UTC)
    headers = {
        "webhook-id": _ID,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(_SECRET).sign(_ID, now, _BODY),
        "content-type": "application/json",
        "user-agent": "benchmark/1",
    }
    ours = Webhook(_SECRET)
    standard = standardwebhooks.Webhook(_SECRET)
    svixes = svix.webhooks.Webhook(_SECRET)

    def verify_and_parse() -> Any:
        svixes.verify(_RECEIVED, headers)
        return json.loads(_RECEIVED)

    calls: dict[str, dict[str, Callable[[], object]]] = {
        "sign": {
            "ours": lambda: ours.sign(_ID, now, _BODY),
            "standardwebhooks": lambda: standard.sign(_ID, now, _BODY),
            "svix": lambda: svixes.sign(_ID, now, _BODY),
        },
        "verify, unparsed": {
            "ours": lambda: ours.verify(_RECEIVED, headers, json_parse=False),
            "standardwebhooks": lambda: standard.verify(_RECEIVED, headers, json_parse=False),
            "svix": lambda: svixes.verify(_RECEIVED, headers),
        },
        "verify": {
            "ours": lambda: ours.verify(_RECEIVED, headers),
            "standardwebhooks": lambda: standard.verify(_RECEIVED, headers),
            "svix": verify_and_parse,
        },
    }
    for what, by_name in calls.items():
        results = [call() for call in by_name.values()]
        if any(each != results[0] for each in results):
            raise RuntimeError(f"to {what} gives different results")
        contestants = [
            sized(partial(_times, call), seconds=seconds, trial=2000, name=name)
            for name, call in by_name.items()
        ]
        done = alternate(contestants, rounds=rounds)
        report.rounds[what] = done
        for other in ("standardwebhooks", "svix"):
            asked = what.startswith("verify") and other == "standardwebhooks"
            report.figures.append(
                Figure(
                    what=f"a webhook: {what}",
                    over=other,
                    measure="cpu",
                    ratios=ratios(done, "ours", other, "cpu"),
                    target=at_least(2.0) if asked else None,
                )
            )


def _times(call: Callable[[], object], count: int) -> Segment:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        call()
    return Segment(work=count, wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


if __name__ == "__main__":
    main()
