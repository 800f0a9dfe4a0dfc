"""What events look like to those who receive them: JSON Schema, examples, OpenAPI and a page.

Functions and not methods of `Event`: an event's fields are the application's to name, and one that is
called `example` or `schema` would hide a method of that name.
"""

from claimnotify.catalogue.examples import data_example_of, example_of, webhook_example_of
from claimnotify.catalogue.openapi import openapi_of
from claimnotify.catalogue.page import page_of
from claimnotify.catalogue.schemas import schema_of

__all__ = [
    "data_example_of",
    "example_of",
    "openapi_of",
    "page_of",
    "schema_of",
    "webhook_example_of",
]
