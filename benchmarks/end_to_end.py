"""Signed webhooks from accept to recorded outcome, against Celery, Huey and a bare client loop.

Everybody does the same: a durable row, a signed POST to a keep-alive sink on this machine, the
outcome in the row. Celery and Huey run a task for each webhook, as teams write it (`peers/`). All
run as many worker processes as there are cores. The bare loop signs and posts and does nothing
else: the limit of what its client can do.

Wall is the time from the first accept to the last outcome; CPU is that of application and workers,
without the sink's and the database servers'.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from measuring.delivering import end_to_end, http_sink, received, urls
from measuring.figures import Figure, Target, at_least
from measuring.pairing import Rounds, Segment, alternate, ratios, say, sized
from measuring.places import Unreachable, Where, temporary_folder
from measuring.processes import Child
from measuring.program import BENCHMARKS, Report, options, peers_python, run
from ours.pipeline import engines, history_is_whole, our_pipeline
from peers.pipeline import PROCESSES, peer_pipeline

ENDPOINTS = 64
LANES = 64
"""Requests in flight of the bare loop: as many as claimnotify has by default."""
_LABELS = {"sqlite": "SQLite", "postgresql": "PostgreSQL + Redis"}
_CLIENTS = ("aiohttp", "httpx", "httpx-aiohttp")
_ASKED: dict[tuple[str, str, str], dict[str, float]] = {
    # (database, ours, how): times the peer
    ("postgresql", "aiohttp", "notify"): {"celery": 8, "huey": 4},
    ("postgresql", "aiohttp", "notify_many"): {"celery": 20},
    ("postgresql", "httpx", "notify"): {"celery": 3},
    ("sqlite", "aiohttp", "notify"): {"celery": 20, "huey": 4},
    ("sqlite", "aiohttp", "notify_many"): {"celery": 30},
    ("sqlite", "httpx", "notify"): {"celery": 3},
}
_OF_THE_LIMIT = {"aiohttp": 0.50, "httpx-aiohttp": 0.75}


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__ or "")
    parser.add_argument("--database", choices=tuple(_LABELS), action="append")
    arguments = parser.parse_args()
    run("end_to_end", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run the rounds of each database."""
    for database in arguments.database or _LABELS:
        try:
            _on(database, arguments, report)
        except Unreachable as error:
            report.missing.append(f"{_LABELS[database]}: {error}")
    if engines() != ["default"]:
        for engine in sorted(_OF_THE_LIMIT.keys() - set(engines())):
            report.missing.append(f"engine {engine}: it is not installed beside claimnotify")
    report.notes.append("times the throughput (wall) and times less CPU for one webhook")


def _on(database: str, arguments: Namespace, report: Report) -> None:
    say(f"end to end on {_LABELS[database]}")
    seconds, trial = (0.5, 50) if arguments.quick else (2.5, 300)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        sink, port = stack.enter_context(http_sink(folder))
        endpoints = urls(port, ENDPOINTS)
        where = Where(database=database, folder=folder, endpoints=endpoints)
        contestants, pipelines = [], []

        def add(name: str, work: Callable[[int], Segment]) -> None:
            contestants.append(sized(work, seconds=seconds, trial=trial, name=name))

        for queue in ("celery", "huey"):
            peer = stack.enter_context(peer_pipeline(queue, where))
            add(queue, partial(end_to_end, sink, peer, "accept"))
        for engine in engines():
            ours = stack.enter_context(our_pipeline(engine, where, workers=PROCESSES))
            pipelines.append(ours)
            for how in ("notify", "notify_many"):
                add(f"{engine} {how}", partial(end_to_end, sink, ours, how))
        bare = stack.enter_context(_bare(folder))
        for client in _CLIENTS:
            add(f"bare {client}", partial(_loop, sink, bare, client, endpoints))
        done = alternate(contestants, rounds=arguments.rounds or (1 if arguments.quick else 5))
        for ours in pipelines:
            history_is_whole(ours)
    report.rounds[database] = done
    report.figures += _figures(database, done)


def _bare(folder: Path) -> Child:
    return Child(
        [peers_python(), "-m", "peers.bare_loop"],
        name="bare-loop",
        log=folder,
        env={"PYTHONPATH": str(BENCHMARKS)},
    )


def _loop(sink: Child, bare: Child, client: str, endpoints: list[str], count: int) -> Segment:
    sink.ask("reset", delay=0.0, arrivals=False)
    wall, cpu = bare.ask("run", client=client, urls=endpoints, first=1, count=count, lanes=LANES)
    received(sink, count)
    return Segment(work=count, wall=wall, cpu=cpu)


def _figures(database: str, done: Rounds) -> list[Figure]:
    figures = []
    for engine in engines():
        for how in ("notify", "notify_many"):
            ours = f"{engine} {how}"
            what = f"end to end, {_LABELS[database]}, {engine}, {how}"
            asked = _ASKED.get((database, engine, how), {})
            for peer in ("celery", "huey"):
                for kind in ("wall", "cpu"):
                    target = at_least(asked[peer]) if peer in asked else None
                    figures.append(
                        Figure(
                            what=what,
                            over=peer.capitalize(),
                            measure=kind,
                            ratios=ratios(done, ours, peer, kind),
                            target=target,
                        )
                    )
            client = "httpx" if engine == "default" else engine
            figures.append(
                Figure(
                    what=what,
                    over=f"bare {client} loop",
                    measure="cpu",
                    ratios=ratios(done, ours, f"bare {client}", "cpu"),
                    target=_limit(database, engine, how),
                    unit="%",
                )
            )
    return figures


def _limit(database: str, engine: str, how: str) -> Target | None:
    if database == "sqlite" and how == "notify_many" and engine in _OF_THE_LIMIT:
        return at_least(_OF_THE_LIMIT[engine])
    return None


if __name__ == "__main__":
    main()
