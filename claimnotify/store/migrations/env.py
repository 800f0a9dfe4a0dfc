"""Runs the migrations over the connection that `claimnotify.store.schema` hands in."""

from alembic import context

from claimnotify.store.migrations import VERSION_TABLE
from claimnotify.store.tables import PREFIX, metadata

connection = context.config.attributes["connection"]

context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=lambda name, kind, _parents: kind != "table" or str(name).startswith(PREFIX),
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
