"""Every setting, read from the environment or given as keywords, and checked in one place."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from claimnotify.errors import ClaimnotifyError, ConfigurationError
from claimnotify.model.places import check_host, check_object, check_site
from claimnotify.model.recipients import check_email, check_identifier, check_phone, check_tenant
from claimnotify.policy.rates import RateLimit

__all__ = ["Settings"]

_PREFIX = "CLAIMNOTIFY_"
_CHECKS: dict[str, Callable[[str, str], str]] = {
    "public_url": check_site,
    "operations_email": check_email,
    "app": check_object,
    "smtp_host": check_host,
    "smtp_username": check_identifier,
    "smtp_from_email": check_email,
    "twilio_account_sid": check_identifier,
    "twilio_from_number": check_identifier,
    "twilio_api_url": check_site,
}
"""What texts are checked with when they are not empty, whether or not their channel is used."""


def _names(*conventional: str) -> AliasChoices:
    """Return the names a setting goes by: our prefixed one, then the conventional ones."""
    first = conventional[0]
    return AliasChoices(f"{_PREFIX}{first}", *conventional, first.lower())


def data_directory() -> Path:
    """Return the absolute folder of the embedded databases (XDG base directory specification).

    It is made if it is not there.

    Raises:
        ConfigurationError: It cannot be made.
    """
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "share"
    folder = base / "claimnotify"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            "XDG_DATA_HOME",
            f"the folder {folder} cannot be made: {error.strerror}",
            "Set it to a folder that can be written to, or CLAIMNOTIFY_DATABASE_URL and CLAIMNOTIFY_QUEUE_URL.",
        ) from error
    return folder


class Settings(BaseSettings):
    """What `Notifier.from_settings()` works from.

    Each field is `CLAIMNOTIFY_<NAME>` in the environment, or the conventional name where one is
    listed in the documentation, or a keyword of `from_settings`. Lists are comma-separated.

    Raises:
        ConfigurationError: From `load`, if a value is wrong; it names the setting.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    database_url: SecretStr = SecretStr("")
    queue_url: SecretStr = SecretStr("")
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    tenant: str = "default"
    enabled: bool = Field(default=True, validation_alias=_names("NOTIFICATIONS_ENABLED"))
    template_dir: Path | None = None
    brand: Path | None = None
    public_url: str = ""
    operations_email: str = ""
    app: str = ""

    smtp_host: str = Field(default="", validation_alias=_names("SMTP_HOST"))
    smtp_port: int | None = Field(
        default=None, ge=1, le=65535, validation_alias=_names("SMTP_PORT")
    )
    smtp_username: str = Field(default="", validation_alias=_names("SMTP_USERNAME"))
    smtp_password: SecretStr = Field(
        default=SecretStr(""), validation_alias=_names("SMTP_PASSWORD")
    )
    smtp_from_email: str = Field(default="", validation_alias=_names("SMTP_FROM_EMAIL"))
    smtp_from_name: str = Field(default="", validation_alias=_names("SMTP_FROM_NAME"))
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", validation_alias=_names("SMTP_SECURITY")
    )
    smtp_use_tls: bool | None = Field(default=None, validation_alias=_names("SMTP_USE_TLS"))
    smtp_ca_file: Path | None = Field(default=None, validation_alias=_names("SMTP_CA_FILE"))
    smtp_connections: int = Field(default=8, ge=1, le=64)

    twilio_account_sid: str = Field(default="", validation_alias=_names("TWILIO_ACCOUNT_SID"))
    twilio_auth_token: SecretStr = Field(
        default=SecretStr(""), validation_alias=_names("TWILIO_AUTH_TOKEN")
    )
    twilio_from_number: str = Field(default="", validation_alias=_names("TWILIO_FROM_NUMBER"))
    twilio_api_url: str = ""
    sms_on_unknown: Literal["retry", "fail"] = "retry"

    webhook_allow_networks: Annotated[tuple[str, ...], NoDecode] = ()
    webhook_allow_http: bool = False
    webhook_allow_ports: Annotated[tuple[int, ...], NoDecode] = ()
    webhook_check_dns: bool = True
    webhook_max_payload_bytes: int = Field(default=262_144, ge=1_024, le=1_048_576)
    webhook_disable_after_days: float = Field(default=5.0, ge=0, le=365)
    http_engine: Literal["auto", "aiohttp", "httpx", "httpx-aiohttp"] = "auto"

    rate_limits: Annotated[tuple[str, ...], NoDecode] = ()
    concurrency: int = Field(default=64, ge=1, le=10_000)
    job_concurrency: int = Field(default=32, ge=1, le=1_000)
    batch_size: int = Field(default=100, ge=1, le=1_000)
    lease_seconds: float = Field(default=60.0, ge=1.0, le=3600.0)
    attempt_deadline_seconds: float = Field(default=15.0, gt=0.0, le=300.0)

    @field_validator(
        "secret_keys",
        "webhook_allow_networks",
        "webhook_allow_ports",
        "rate_limits",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("template_dir", "brand", "smtp_ca_file", mode="before")
    @classmethod
    def _no_path(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("tenant")
    @classmethod
    def _short(cls, tenant: str) -> str:
        _checked("tenant", check_tenant, tenant)
        return tenant

    @field_validator("secret_keys")
    @classmethod
    def _long_enough(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < 32 for key in keys):
            raise ValueError("a key is shorter than 32 characters")
        return keys

    @field_validator("webhook_allow_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    @field_validator("webhook_allow_ports")
    @classmethod
    def _ports(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= port <= 65535 for port in ports):
            raise ValueError("a port is not between 1 and 65535")
        return ports

    @field_validator("rate_limits")
    @classmethod
    def _limits(cls, limits: tuple[str, ...]) -> tuple[str, ...]:
        seen: set[str] = set()
        for limit in limits:
            channel, equals, rate = limit.partition("=")
            if not channel or not equals:
                raise ValueError(f"{limit!r} is not of the form channel=100/minute")
            try:
                RateLimit.parse(rate)
            except ClaimnotifyError as error:
                raise ValueError(f"{limit!r} {error.problem}. {error.remedy}") from None
            if channel in seen:
                raise ValueError(f"there are two limits for {channel!r}; only one can hold")
            seen.add(channel)
        return limits

    @field_validator("smtp_from_name")
    @classmethod
    def _one_line(cls, name: str) -> str:
        if any(ord(char) < 32 for char in name):
            raise ValueError("has a line break or another control character")
        return name

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Refuse texts that cannot be what they are to be, and settings that are half set."""
        for name, check in _CHECKS.items():
            if text := getattr(self, name):
                _checked(name, check, text)
        if self.smtp_ca_file is not None and not self.smtp_ca_file.is_file():
            raise ValueError("smtp_ca_file: there is no such file")
        if self.smtp_host and not self.smtp_from_email:
            raise ValueError("smtp_from_email: is needed because smtp_host is set")
        if bool(self.smtp_username) != bool(self.smtp_password.get_secret_value()):
            raise ValueError("smtp_username and smtp_password: only one of the two is set")
        if self.smtp_username and not self.smtp_host:
            raise ValueError("smtp_host: is needed because smtp_username is set")
        twilio = {
            "twilio_account_sid": self.twilio_account_sid,
            "twilio_auth_token": self.twilio_auth_token.get_secret_value(),
            "twilio_from_number": self.twilio_from_number,
        }
        missing = [name for name, value in twilio.items() if not value]
        if 0 < len(missing) < len(twilio):
            raise ValueError(f"{', '.join(missing)}: is needed because the other is set")
        if self.twilio_from_number and self.twilio_from_number.startswith("+"):
            _checked("twilio_from_number", check_phone, self.twilio_from_number)
        return self

    @property
    def rates(self) -> dict[str, RateLimit]:
        """The rate limits of channels."""
        parts = (limit.partition("=") for limit in self.rate_limits)
        return {channel: RateLimit.parse(rate) for channel, _, rate in parts}

    @property
    def attempt_deadline(self) -> timedelta:
        """The longest one attempt may take."""
        return timedelta(seconds=self.attempt_deadline_seconds)

    @property
    def effective_smtp_security(self) -> Literal["starttls", "tls", "none"]:
        """`smtp_security`, or what SMTP_USE_TLS says where only that was given."""
        if self.smtp_use_tls is None or "smtp_security" in self.model_fields_set:
            return self.smtp_security
        return "starttls" if self.smtp_use_tls else "none"

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the environment, with `overrides` taking precedence.

        Raises:
            ConfigurationError: If a value is wrong or half set; it names the setting.
        """
        unknown = sorted(set(overrides) - set(cls.model_fields))
        if unknown:
            raise ConfigurationError(
                unknown[0], "is not a setting", "See the settings page of the documentation."
            )
        try:
            return cls(**overrides)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            problem = first["msg"].removeprefix("Value error, ")
            if not field:
                field, _, problem = problem.partition(": ")
            # Checks of our own name the field and end with a full stop themselves.
            problem = problem.removeprefix(f"{field}: ").removesuffix(".")
            remedy = "Correct it in the environment or in the call of from_settings."
            raise ConfigurationError(field, problem, remedy) from None


def _checked(field: str, check: Any, value: str) -> None:
    try:
        check(value, field)
    except ClaimnotifyError as error:
        raise ValueError(str(error)) from None
