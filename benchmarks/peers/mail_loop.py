"""The limit for e-mail: render, build and send with smtplib, with no queue and no database.

Obeys a benchmark: `python -m peers.mail_loop`.
"""

from __future__ import annotations

import smtplib
import time

from measuring.dialogue import answer

from peers.plain_mail import CLAIM, PlainRenderer, mail

_SENDER = "claims@example.com"
_MAILS_A_SESSION = 100


def run(port: int, count: int, kept: bool) -> list[float]:
    """Send `count` e-mails; return seconds and CPU seconds.

    Args:
        port: The server's, on 127.0.0.1.
        count: How many.
        kept: Whether one connection carries a hundred mails, as servers allow, or one.
    """
    renderer = PlainRenderer()
    a_session = _MAILS_A_SESSION if kept else 1
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, count, a_session):
        with smtplib.SMTP("127.0.0.1", port, local_hostname="bench.example.com") as server:
            for number in range(start, min(start + a_session, count)):
                message = mail(
                    renderer.render(CLAIM), sender=_SENDER, to=f"cus_{number}@example.com"
                )
                server.send_message(message)
    return [time.perf_counter() - began, time.process_time() - cpu]


if __name__ == "__main__":
    answer({"run": run})
