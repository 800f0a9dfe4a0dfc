"""The SQLAlchemy store: outbox, work queue, inbox, endpoints and audit in the application's database."""
