"""What a lease of a hundred deliveries costs as the table grows, over history and over what is due.

The same at each size, in turn; a figure is the time of a lease over that at the smallest size, so
that 1 is flat. Where the history grows, ten thousand are due whatever the size. Where what is due
grows, priorities and tenants are mixed, one delivery in ten is for an endpoint whose breaker is
open, and one in ten is under one ordering key.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from measuring.figures import Figure, at_most
from measuring.pairing import Contestant, Segment, alternate, ratios, say
from measuring.places import Unreachable, mariadb_database, postgres_database, temporary_folder
from measuring.program import Report, options, run
from sqlalchemy import Engine, create_engine, text

from claimnotify.store.store import SqlStore

_LABELS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
_SCENARIOS = {"history": "history", "due": "deliveries that are due"}
_SIZES = (10_000, 100_000, 1_000_000)
_FEW_SIZES = (1_000, 10_000)
_LEASED = 100
_DUE = 10_000
"""How many are due where the history grows: more than are leased here."""
_NOTIFICATIONS = 100
_BLOCKED = "f" * 32
_STREAM = "e" * 32
_DURATION = timedelta(minutes=5)

_SERIES = {
    "sqlite": "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {n}) SELECT i FROM s)",
    "postgresql": "(SELECT i FROM generate_series(1, {n}) AS g(i))",
    "mariadb": "(SELECT seq AS i FROM seq_1_to_{n})",
}
_TEXTS = {
    "sqlite": {"hex": "printf('%032x', {0})", "cat": "{0}", "now": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 hour')"},
    "postgresql": {"hex": "lpad(to_hex({0}), 32, '0')", "cat": "{0}", "now": "now() - interval '1 hour'"},
    "mariadb": {"hex": "lpad(lower(hex({0})), 32, '0')", "cat": "{0}", "now": "utc_timestamp(6) - interval 1 hour"},
}  # fmt: skip


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__ or "")
    parser.add_argument("--database", choices=tuple(_LABELS), action="append")
    arguments = parser.parse_args()
    run("lease_cost", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Measure each database in both scenarios."""
    for database in arguments.database or _LABELS:
        try:
            for scenario in _SCENARIOS:
                _on(database, scenario, arguments, report)
        except Unreachable as error:
            report.missing.append(f"leases on {_LABELS[database]}: {error}")


def _on(database: str, scenario: str, arguments: Namespace, report: Report) -> None:
    smallest, *larger = sizes = _FEW_SIZES if arguments.quick else _SIZES
    say(f"leases on {_LABELS[database]}, {scenario}")
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        contestants = []
        for size in sizes:
            store = stack.enter_context(_filled(database, scenario, size, folder))
            for _ in range(3):
                _lease(store)
            contestants.append(Contestant(name=str(size), run=partial(_lease, store)))
        done = alternate(contestants, rounds=arguments.rounds or (3 if arguments.quick else 40))
    report.rounds[f"{database} {scenario}"] = done
    for size in larger:
        report.figures.append(
            Figure(
                what=f"a lease of {_LEASED}, {_LABELS[database]}, {size:,} {_SCENARIOS[scenario]}",
                over=f"{smallest:,}",
                measure="wall",
                ratios=ratios(done, str(smallest), str(size), "wall"),
                target=at_most(1.2),
            )
        )


def _lease(store: SqlStore) -> Segment:
    began = time.perf_counter()
    lease = store.work.lease("notifications", limit=_LEASED, duration=_DURATION)
    took = time.perf_counter() - began
    if lease is None:
        raise RuntimeError("nothing was due: the program is wrong")
    return Segment(work=1, wall=took)


@contextmanager
def _filled(database: str, scenario: str, size: int, folder: Path) -> Iterator[SqlStore]:
    """Give a store with `size` deliveries in a database of its own."""
    with ExitStack() as stack:
        if database == "sqlite":
            url = f"sqlite:///{folder / f'{scenario}-{size}.db'}"
        else:
            make = postgres_database if database == "postgresql" else mariadb_database
            url = stack.enter_context(make())
        store = SqlStore(url, ring=lambda _queue: None)
        stack.callback(store.close)
        store.upgrade()
        engine = create_engine(url)
        _fill(engine, database, scenario, size)
        engine.dispose()
        yield store


def _fill(engine: Engine, kind: str, scenario: str, size: int) -> None:
    """Write `size` deliveries; in the scenario "history", all but 10,000 of them are finished."""
    words = _TEXTS[kind]
    now = words["now"]
    due = "1 = 1" if scenario == "due" else f"i > {size} - 10000"
    mixed = scenario == "due"
    priority = "i % 3" if mixed else "1"
    tenant = "i % 7" if mixed else "0"
    cast = "CHAR" if kind == "mariadb" else "TEXT"
    lane_parts = [
        "'notifications/'",
        f"CAST({priority} AS {cast})",
        "'/webhook/t'",
        f"CAST({tenant} AS {cast})",
    ]
    lane = f"concat({', '.join(lane_parts)})" if kind == "mariadb" else " || ".join(lane_parts)
    tenant_text = (
        f"concat('t', {tenant})" if kind == "mariadb" else f"'t' || CAST({tenant} AS {cast})"
    )
    endpoint = f"CASE WHEN i % 10 = 3 THEN '{_BLOCKED}' ELSE {words['hex'].format('i % 1000')} END" if mixed else "NULL"  # fmt: skip
    stream = f"CASE WHEN i % 10 = 7 THEN '{_STREAM}' END" if mixed else "NULL"
    no = "false" if kind == "postgresql" else "0"
    with engine.begin() as connection:
        for number in range(_NOTIFICATIONS):
            connection.execute(
                text(
                    "INSERT INTO claimnotify_notifications (id, tenant, event_type, event_version,"
                    " category, owner, payload, fingerprint, attachment_count, created_at) VALUES"
                    f" (:id, 't0', 'bench.sent', 1, 'general', 'o', '{{}}', 'f', 0, {now})"
                ),
                {"id": f"{number:032x}"},
            )
        connection.execute(
            text(
                "INSERT INTO claimnotify_deliveries (id, tenant, notification_id, position, channel,"
                " address, endpoint_id, status, reason, provider_id, created_at, finished_at,"
                " cancel_requested, queue, priority, lane, due_at, leases, crashes, attempts,"
                " order_key, order_seq, order_strict)"
                f" SELECT {words['hex'].format('i')}, {tenant_text},"
                f" {words['hex'].format(f'i % {_NOTIFICATIONS}')}, 0, 'webhook', 'https://x', {endpoint},"
                f" CASE WHEN {due} THEN 'pending' ELSE 'delivered' END, 'queued', '', {now},"
                f" CASE WHEN {due} THEN NULL ELSE {now} END, {no}, 'notifications', {priority},"
                f" CASE WHEN {due} THEN {lane} END, CASE WHEN {due} THEN {now} END, 0, 0, 0,"
                f" CASE WHEN {due} THEN {stream} END, i, {no} FROM {_SERIES[kind].format(n=size)} AS s"
            )
        )
        connection.execute(
            text(
                "INSERT INTO claimnotify_breakers (id, tenant, failures, openings, release_size,"
                f" retry_at) VALUES ('{_BLOCKED}', 't0', 9, 1, 1, {now})"
            )
        )
    if kind == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE claimnotify_deliveries"))
    else:
        with engine.begin() as connection:
            verb = "ANALYZE" if kind == "sqlite" else "ANALYZE TABLE"
            connection.execute(text(f"{verb} claimnotify_deliveries"))


if __name__ == "__main__":
    main()
