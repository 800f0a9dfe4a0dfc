"""The Twilio transport behind the SMS channel: the real `twilio` client over our own HTTP engine."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from random import Random
from types import ModuleType
from urllib.parse import urlsplit

from claimnotify.channels.twilio_failures import refusal, unreachable
from claimnotify.errors import (
    ConfigurationError,
    ForbiddenDestination,
    HttpEngineError,
    UnknownOutcome,
)
from claimnotify.model.notifications import Receipt
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports import Clock, HttpEngine

__all__ = ["TwilioTransport"]

_SERVICE_SID = re.compile(r"MG[0-9a-fA-F]{32}")


class TwilioTransport:
    """Creates messages at Twilio. Needs the extra `claimnotify[twilio]`, loaded at `open`.

    Args:
        account_sid: The account, `AC…`.
        auth_token: Its token.
        sender: A number, a short code, a sender id, or a messaging service's sid (`MG…`).
        api_url: Scheme and host to use in place of Twilio's own, or empty.
        http: The engine that carries the requests; closed with this transport.
        deadline: The longest one `send` takes.
        random: Randomness for the quick tries.
        clock: Tells how far off a Retry-After date is.

    Raises:
        ConfigurationError: If `api_url` is no http or https URL.
    """

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        sender: str,
        api_url: str = "",
        http: HttpEngine,
        deadline: timedelta,
        random: Random,
        clock: Clock,
    ) -> None:
        if api_url and not _is_http(api_url):
            raise ConfigurationError(
                "twilio_api_url", "is no http or https URL", "Leave it empty to use Twilio's own."
            )
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._sender = sender
        self._api_url = api_url
        self._http = http
        self._deadline = deadline
        self._random = random
        self._clock = clock

    async def open(self) -> None:
        """Load the client, off the loop: it is large."""
        await asyncio.to_thread(_client_module)

    async def aclose(self) -> None:
        """Close the engine's connections."""
        await self._http.aclose()

    async def send(self, text: str, *, to: str) -> Receipt:
        """Create one message.

        Raises:
            TransientDeliveryError: Twilio could not be reached, is busy, or refuses the account.
            PermanentDeliveryError: Twilio refuses this text or number.
            UnknownOutcome: The answer was lost; Twilio takes no key that would let us ask.
        """
        from claimnotify.channels.twilio_client import Client, EngineHttpClient, TwilioException

        wire = EngineHttpClient(
            self._http, api_url=self._api_url, deadline=self._deadline, random=self._random
        )
        client = Client(self._account_sid, self._auth_token, http_client=wire)
        by_service = _SERVICE_SID.fullmatch(self._sender) is not None
        sender = {"messaging_service_sid" if by_service else "from_": self._sender}
        try:
            created = await client.messages.create_async(to=to, body=text, **sender)
        except TwilioException:
            told = refusal(wire.answer, now=self._clock.now())
        except (HttpEngineError, ForbiddenDestination) as error:
            told = unreachable(error)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            told = UnknownOutcome(f"Twilio's answer was not understood ({type(error).__name__})")
        else:
            return Receipt(
                status=DeliveryStatus.SENT,
                provider_id=str(created.sid or ""),
                status_code=wire.answer.status if wire.answer is not None else None,
                excerpt=f"status {created.status}",
            )
        # Outside the handlers, so that no traceback leads to the frames that held the token.
        raise told


def _is_http(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _client_module() -> ModuleType:
    """Return the module that needs the `twilio` package; loading it takes a third of a second."""
    from claimnotify.channels import twilio_client

    return twilio_client
