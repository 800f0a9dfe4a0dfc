"""Rendering the e-mail of an approved claim: ours against bare Jinja2 with the same words.

Ours looks up overrides, translates, checks links and cleans up; the bare one has one language and
nothing to look up. That both give the same words is checked before anything is timed.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial

from measuring.figures import Figure
from measuring.pairing import Segment, alternate, ratios, sized
from measuring.program import Report, options, run
from peers.plain_mail import CLAIM, PlainRenderer

from claimnotify import Notification, Recipient
from claimnotify.claims import ClaimApproved
from claimnotify.templates.plaintext import text_from_html
from claimnotify.templates.renderer import JinjaRenderer
from claimnotify.testing import fake_notifier


def main() -> None:
    """Read the options and run."""
    arguments = options(__doc__ or "").parse_args()
    run("rendering", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Check that both render the same, then time them in turn."""
    ours, plain = JinjaRenderer(), PlainRenderer()
    notification = _notification()
    _check_same(ours, plain, notification)
    works: dict[str, Callable[[], object]] = {
        "Jinja2": lambda: plain.render(CLAIM),
        "ours": lambda: ours.render(notification, "email"),
    }
    seconds = 0.3 if arguments.quick else 1.0
    contestants = [
        sized(partial(_times, work), seconds=seconds, trial=200, name=name)
        for name, work in works.items()
    ]
    done = alternate(contestants, rounds=arguments.rounds or (2 if arguments.quick else 7))
    report.rounds["rendering"] = done
    for kind in ("wall", "cpu"):
        report.figures.append(
            Figure(
                what="render an e-mail: subject, text, HTML",
                over="bare Jinja2",
                measure=kind,
                ratios=ratios(done, "ours", "Jinja2", kind),
            )
        )


def _notification() -> Notification:
    recipient = Recipient(id="cus_7", name="Ana Jäger", email="ana@example.com")
    with fake_notifier() as notifier:
        return notifier.notify(ClaimApproved(**CLAIM), to=recipient)


def _check_same(ours: JinjaRenderer, plain: PlainRenderer, notification: Notification) -> None:
    mine, theirs = ours.render(notification, "email"), plain.render(CLAIM)
    for part in ("subject", "text", "html"):
        first, second = getattr(mine, part), getattr(theirs, part)
        if part == "html":
            first, second = text_from_html(first), text_from_html(second)
        if first.split() != second.split():
            raise RuntimeError(f"the two {part} parts have different words:\n{first}\n{second}")


def _times(work: Callable[[], object], count: int) -> Segment:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        work()
    return Segment(work=count, wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


if __name__ == "__main__":
    main()
