"""Turns a stored notification into the message for one channel, in the recipient's language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from jinja2 import TemplateSyntaxError, UndefinedError

from claimnotify.errors import TemplateError
from claimnotify.model.events import Event
from claimnotify.model.messages import (
    EmailMessage,
    InAppMessage,
    Message,
    SmsMessage,
    WebhookMessage,
)
from claimnotify.model.notifications import Notification
from claimnotify.model.webhook_bodies import webhook_body
from claimnotify.templates.brand import Brand, is_web_url
from claimnotify.templates.checking import check_overrides, check_templates
from claimnotify.templates.context import recipient_of, values_for
from claimnotify.templates.environment import Environments, locate
from claimnotify.templates.formatting import humanise
from claimnotify.templates.lookup import Found, candidates
from claimnotify.templates.plaintext import clean_html, one_line, text_from_html, tidy
from claimnotify.templates.translations import SOURCE_LANGUAGE

__all__ = ["JinjaRenderer"]

_MISSING = re.compile(r"'(\w+)' is undefined|has no attribute '(\w+)'")


class JinjaRenderer:
    """Renders with Jinja templates; safe to use from many threads. Implements `Renderer`.

    Templates are read once: changes are seen by a new renderer.

    Args:
        template_dir: A folder whose templates and translations go before the package's.
        brand: Who the messages come from.
        public_url: Where this installation's pages are, without a slash at the end.

    Raises:
        TemplateError: If `template_dir` is not a folder.
    """

    def __init__(
        self, *, template_dir: Path | None = None, brand: Brand | None = None, public_url: str = ""
    ) -> None:
        if template_dir is not None and not Path(template_dir).is_dir():
            raise TemplateError(
                "template_dir", "is not a folder", "Create it, or unset CLAIMNOTIFY_TEMPLATE_DIR."
            )
        self._environments = Environments(
            template_dir=None if template_dir is None else Path(template_dir),
            brand=brand or Brand(),
            public_url=public_url.rstrip("/"),
        )
        self._found = lru_cache(maxsize=4096)(self._find)
        self._overrides_are_good = False

    def render(self, notification: Notification, channel: str) -> Message:
        """Return the content for `channel`: email, sms, in_app, webhook, or text for any other.

        Raises:
            TemplateError: If a template fails; it names template and line, never the payload.
        """
        if channel == "webhook":
            data = notification.webhook_json
            return WebhookMessage(
                body=webhook_body(
                    notification.event_type,
                    notification.created_at,
                    notification.payload_json if data is None else data,
                )
            )
        try:
            return _Page(self, notification, supplied=True).message(channel)
        except _Lacking:
            # An application's event may share its type with one we supply templates for, and not
            # its fields: then the generic ones serve. What the application wrote is not passed over.
            return _Page(self, notification, supplied=False).message(channel)

    def check(self, events: Iterable[type[Event]]) -> None:
        """Check translations, the syntax of every template, and each event's templates.

        Raises:
            TemplateError: A template does not parse or names a variable the event does not have.
        """
        if not self._overrides_are_good:
            check_overrides(self._environments)
            self._overrides_are_good = True
        check_templates(self._environments, events)

    def _find(self, event_type: str, version: int, part: str, supplied: bool) -> Found | None:
        for found in candidates(event_type, version, part):
            ours = found.own and found.name not in self._environments.overrides
            if self._environments.exists(found.name) and (supplied or not ours):
                return found
        return None


class _Lacking(TemplateError):
    """The payload lacks what the template asks for."""


class _Page:
    """One notification on its way through the templates."""

    def __init__(
        self, renderer: JinjaRenderer, notification: Notification, *, supplied: bool
    ) -> None:
        locale = recipient_of(notification).locale
        self._environments = renderer._environments
        self._environment = renderer._environments.for_locale(locale)
        self._find = renderer._found
        self._notification = notification
        self._values = values_for(notification)
        self._supplied = supplied

    def message(self, channel: str) -> Message:
        if channel == "email":
            return self.email()
        if channel == "in_app":
            return self.in_app()
        return SmsMessage(text=self.text(f"{channel}.txt"))

    def email(self) -> EmailMessage:
        subject = self.line("email.subject.txt")
        text, html = self.find("email.txt"), self.find("email.html")
        if html.own and not text.own:
            document = clean_html(self.render(html.name))
            return EmailMessage(subject=subject, text=text_from_html(document), html=document)
        body = tidy(self.render(text.name))
        if text.own and not html.own:
            self._values["written"] = body
        return EmailMessage(subject=subject, text=body, html=clean_html(self.render(html.name)))

    def in_app(self) -> InAppMessage:
        found = self.find("in_app.url.txt")
        url = one_line(self.render(found.name))
        if url and not is_web_url(url) and not _is_path(url):
            raise TemplateError(
                found.name, "gave neither an http(s) URL nor a path", "Use the filter web_url."
            )
        return InAppMessage(
            title=self.line("in_app.title.txt"), body=self.text("in_app.txt"), url=url or None
        )

    def line(self, part: str) -> str:
        """Return a part as one line that is not empty."""
        line = one_line(self.render(self.find(part).name))
        return line or humanise(self._notification.event_type)

    def text(self, part: str) -> str:
        """Return a part as text."""
        return tidy(self.render(self.find(part).name))

    def find(self, part: str) -> Found:
        notification = self._notification
        found = self._find(
            notification.event_type, notification.event_version, part, self._supplied
        )
        if found is None:
            raise TemplateError(
                f"{notification.event_type}/{part}", "does not exist", "Reinstall the package."
            )
        return found

    def render(self, name: str) -> str:
        problem: TemplateError
        try:
            return self._environment.get_template(name).render(self._values)
        except Exception as error:  # a template can raise anything
            problem = _described(error, name, self._environments)
        # Outside the handler: the error that was caught may quote the payload and must not follow.
        raise problem


def _described(error: Exception, name: str, environments: Environments) -> TemplateError:
    """Return an error that says where `error` arose, in words that are never the payload's."""
    where, line = name, 0
    if isinstance(error, TemplateSyntaxError):
        where, line = error.name or name, error.lineno
    else:
        traceback = error.__traceback__
        while traceback is not None:
            inner = locate(environments.roots, traceback.tb_frame.f_code.co_filename)
            if inner is not None:
                where, line = inner, traceback.tb_lineno
            traceback = traceback.tb_next
    at = f"{where}, line {line}" if line else where
    if isinstance(error, TemplateError):
        return TemplateError(at, f"{error.field} {error.problem}".strip(), error.remedy)
    if isinstance(error, UndefinedError):
        source, _, _ = environments.loader.get_source(
            environments.for_locale(SOURCE_LANGUAGE), where
        )
        return _Lacking(at, _undefined(error, source), "Correct the template or the event.")
    problem = f"failed with {type(error).__name__}"
    return TemplateError(at, problem, "Correct the template.")


def _undefined(error: UndefinedError, source: str) -> str:
    match = _MISSING.search(str(error))
    name = match and (match[1] or match[2])
    # A computed name (`labels[kind]`) comes from the payload; one in the template's text may be shown.
    return (
        f"asks for {name!r}, which is not there"
        if name and name in source
        else ("asks for what is not there")
    )


def _is_path(url: str) -> bool:
    return url.startswith("/") and not url.startswith(("//", "/\\"))
