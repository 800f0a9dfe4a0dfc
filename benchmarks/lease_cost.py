"""What a lease of 100 deliveries costs as the table grows, over history and over what is due.

Prints, for each database, the median time of a lease at each size as a ratio to that at the smallest
one, measured in alternation. In the scenario "due", priorities and tenants are mixed, one delivery
in ten is for an endpoint whose breaker is open, and one in ten is under one ordering key.

    python benchmarks/lease_cost.py --sizes 10000,100000,1000000 --databases sqlite,postgresql,mariadb
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from claimnotify.store.store import SqlStore

SERVERS = {
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "mariadb": "mysql+pymysql://root@127.0.0.1:3306/test",
}
NOTIFICATIONS = 100
BLOCKED = "f" * 32
STREAM = "e" * 32
DURATION = timedelta(minutes=5)

SERIES = {
    "sqlite": "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {n}) SELECT i FROM s)",
    "postgresql": "(SELECT i FROM generate_series(1, {n}) AS g(i))",
    "mariadb": "(SELECT seq AS i FROM seq_1_to_{n})",
}
TEXTS = {
    "sqlite": {"hex": "printf('%032x', {0})", "cat": "{0}", "now": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 hour')"},
    "postgresql": {"hex": "lpad(to_hex({0}), 32, '0')", "cat": "{0}", "now": "now() - interval '1 hour'"},
    "mariadb": {"hex": "lpad(lower(hex({0})), 32, '0')", "cat": "{0}", "now": "utc_timestamp(6) - interval 1 hour"},
}  # fmt: skip


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database, which is dropped at the end."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / (secrets.token_hex(4) + '.db')}"
        return
    name = f"claimnotify_bench_{secrets.token_hex(4)}"
    server = create_engine(SERVERS[kind], isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(SERVERS[kind]).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
    server.dispose()


def fill(store: SqlStore, kind: str, scenario: str, size: int) -> None:
    """Write `size` deliveries; in the scenario "history", all but 10,000 of them are finished."""
    words = TEXTS[kind]
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
    endpoint = f"CASE WHEN i % 10 = 3 THEN '{BLOCKED}' ELSE {words['hex'].format('i % 1000')} END" if mixed else "NULL"  # fmt: skip
    stream = f"CASE WHEN i % 10 = 7 THEN '{STREAM}' END" if mixed else "NULL"
    no = "false" if kind == "postgresql" else "0"
    with store._engine.begin() as connection:
        for number in range(NOTIFICATIONS):
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
                f" {words['hex'].format(f'i % {NOTIFICATIONS}')}, 0, 'webhook', 'https://x', {endpoint},"
                f" CASE WHEN {due} THEN 'pending' ELSE 'delivered' END, 'queued', '', {now},"
                f" CASE WHEN {due} THEN NULL ELSE {now} END, {no}, 'notifications', {priority},"
                f" CASE WHEN {due} THEN {lane} END, CASE WHEN {due} THEN {now} END, 0, 0, 0,"
                f" CASE WHEN {due} THEN {stream} END, i, {no} FROM {SERIES[kind].format(n=size)} AS s"
            )
        )
        connection.execute(
            text(
                "INSERT INTO claimnotify_breakers (id, tenant, failures, openings, release_size,"
                f" retry_at) VALUES ('{BLOCKED}', 't0', 9, 1, 1, {now})"
            )
        )
    if kind == "postgresql":
        with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE claimnotify_deliveries"))
    else:
        with store._engine.begin() as connection:
            verb = "ANALYZE" if kind == "sqlite" else "ANALYZE TABLE"
            connection.execute(text(f"{verb} claimnotify_deliveries"))


def lease_once(store: SqlStore) -> float:
    """Lease 100 and return how long it took, in milliseconds."""
    began = time.perf_counter()
    lease = store.work.lease("notifications", limit=100, duration=DURATION)
    took = time.perf_counter() - began
    if lease is None:
        raise SystemExit("nothing was due: the program is wrong")
    return took * 1000


def measure(
    kind: str, scenario: str, sizes: list[int], rounds: int, folder: Path
) -> dict[str, Any]:
    """Return the median milliseconds of a lease by size, taken in turn."""
    with contextmanagers(kind, folder, len(sizes)) as urls:
        stores = []
        for url, size in zip(urls, sizes, strict=True):
            store = SqlStore(url, ring=lambda _queue: None)
            store.upgrade()
            fill(store, kind, scenario, size)
            stores.append(store)
        for store in stores:
            for _ in range(3):
                lease_once(store)
        times: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(rounds):
            for store, size in zip(stores, sizes, strict=True):
                times[size].append(lease_once(store))
        for store in stores:
            store.close()
    medians = {size: statistics.median(values) for size, values in times.items()}
    base = medians[sizes[0]]
    return {
        "database": kind,
        "scenario": scenario,
        "rounds": rounds,
        "milliseconds": medians,
        "ratios": {size: value / base for size, value in medians.items()},
    }


@contextmanager
def contextmanagers(kind: str, folder: Path, count: int) -> Iterator[list[str]]:
    """Yield the URLs of so many databases."""
    if count == 0:
        yield []
        return
    with database(kind, folder) as url, contextmanagers(kind, folder, count - 1) as rest:
        yield [url, *rest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--databases", default="sqlite,postgresql,mariadb")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    results = []
    print(f"{'database':12}{'scenario':10}" + "".join(f"{size:>12,}" for size in sizes))
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.databases.split(","):
            for scenario in ("history", "due"):
                result = measure(kind, scenario, sizes, options.rounds, Path(folder))
                results.append(result)
                ratios = "".join(f"{result['ratios'][size]:>11.2f}x" for size in sizes)
                print(f"{kind:12}{scenario:10}{ratios}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
