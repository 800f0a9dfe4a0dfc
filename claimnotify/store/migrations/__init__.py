"""The Alembic migrations of our tables; they ship inside the package and leave others' tables alone."""

HEAD = "0003"
"""The newest revision; a test keeps it equal to what Alembic finds."""

VERSION_TABLE = "claimnotify_alembic_version"
"""Where Alembic notes the revision; a table of our own, beside an application's."""
