"""Checks what an application gives besides settings: doorbell, store, channels, schedules, randomness."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from random import Random
from typing import Any, Protocol

from claimnotify.errors import ConfigurationError
from claimnotify.model.recipients import Recipient
from claimnotify.policy.rates import RateLimit
from claimnotify.policy.retry import RetrySchedule, checked_schedules
from claimnotify.ports import Channel, ChannelContext, Dispatcher, Store
from claimnotify.settings import Settings
from claimnotify.templates.brand import Brand

__all__ = [
    "check_options",
    "checked_store",
    "lease_of",
    "look_up_of",
    "make_channels",
    "rates_of",
    "schedules_of",
]

_GROUP = "claimnotify.channels"


def check_options(
    *, brand: object, dispatcher: object, channels: object, random: object, store: object
) -> None:
    """Check what can be checked before anything is made; None is always allowed.

    Raises:
        ConfigurationError: One is not what it is to be; it names the option.
    """
    if brand is not None and not isinstance(brand, Brand | str | Path):
        raise _wrong("brand", brand, "Give a Brand, or the path of a file that describes one.")
    if random is not None and not isinstance(random, Random):
        raise _wrong("random", random, "Give a random.Random, or leave it out.")
    if dispatcher is not None:
        remedy = "Give an object that keeps the protocol claimnotify.ports.Dispatcher."
        _check_protocol("dispatcher", dispatcher, Dispatcher, remedy)
    if store is not None:
        remedy = "Give a class or function that makes a Store when it is called with ring=."
        _check_maker("store", store, remedy, ring=None)
    if channels is not None:
        remedy = "Give a mapping from names to functions that take a ChannelContext."
        if not isinstance(channels, Mapping):
            raise _wrong("channels", channels, remedy)
        for name, factory in channels.items():
            if not isinstance(name, str):
                raise _wrong("channels", name, remedy, what="one of its keys ")
            _check_maker(f"channels[{name!r}]", factory, remedy, None)


def checked_store(made: Store) -> Store:
    """Return the store that an application's own `store=` made.

    Raises:
        ConfigurationError: It does not keep the protocol.
    """
    remedy = "Have it return an object that keeps the protocol claimnotify.ports.Store."
    _check_protocol("store", made, Store, remedy, what="what it returned ")
    return made


def make_channels(
    context: ChannelContext, factories: Mapping[str, Callable[[ChannelContext], Channel]] | None
) -> dict[str, Channel]:
    """Return the channels that `factories`, or the installed entry points, make.

    Raises:
        ConfigurationError: A channel cannot be loaded, is none, or has another name.
    """
    if factories is None:
        factories = {point.name: partial(_load, point) for point in entry_points(group=_GROUP)}
    made = {name: factory(context) for name, factory in sorted(factories.items())}
    for name, channel in made.items():
        _check_channel(name, channel)
    return made


def schedules_of(
    retry: Mapping[str, RetrySchedule] | None, channels: Mapping[str, Channel]
) -> dict[str, RetrySchedule]:
    """Return the application's own retry schedules by channel.

    Raises:
        ConfigurationError: One is no `RetrySchedule`, or its channel is not installed.
    """
    schedules = checked_schedules(retry)
    _check_installed("retry", schedules, channels)
    return schedules


def rates_of(settings: Settings, channels: Mapping[str, Channel]) -> dict[str, RateLimit]:
    """Return the rate limits of channels.

    Raises:
        ConfigurationError: A channel is not installed.
    """
    _check_installed("rate_limits", settings.rates, channels)
    return settings.rates


def look_up_of(
    recipient_for: Callable[..., Recipient | None] | None,
) -> Callable[[str, str], Recipient | None] | None:
    """Return the application's look-up of owners as a function of the tenant and the owner's id.

    Its own takes the owner's id, and a keyword `tenant` where it names one.

    Raises:
        ConfigurationError: It cannot be called so, or only be awaited.
    """
    if recipient_for is None:
        return None
    remedy = "Give a function that takes an owner's id, and returns a Recipient or None."
    if inspect.iscoroutinefunction(recipient_for):
        raise ConfigurationError("recipient_for", "can only be awaited", remedy)
    if not callable(recipient_for):
        raise _wrong("recipient_for", recipient_for, remedy)
    look_up = recipient_for
    if _takes(look_up, "tenant"):
        _check_maker("recipient_for", look_up, remedy, "", tenant="")
        return lambda tenant, owner: look_up(owner, tenant=tenant)
    _check_maker("recipient_for", look_up, remedy, "")
    return lambda _tenant, owner: look_up(owner)


def lease_of(settings: Settings, channels: Mapping[str, Channel]) -> timedelta:
    """Return how long a lease lasts.

    Raises:
        ConfigurationError: An attempt on a channel may outlast it.
    """
    lease = timedelta(seconds=settings.lease_seconds)
    for name, channel in channels.items():
        if channel.attempt_deadline * 1.5 > lease:
            raise ConfigurationError(
                "lease_seconds",
                f"is less than one and a half times the {channel.attempt_deadline.total_seconds():g}"
                f" seconds an attempt on channel {name!r} may take",
                "Lengthen it, or shorten attempt_deadline_seconds.",
            )
    return lease


def _load(point: Any, context: ChannelContext) -> Channel:
    try:
        factory = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"channel {point.name!r}",
            f"its entry point {point.value} cannot be loaded: {error}",
            "Install what it needs, or uninstall the package that adds it.",
        ) from error
    channel: Channel = factory(context)
    return channel


def _check_channel(name: str, channel: Channel) -> None:
    field = f"channel {name!r}"
    remedy = "Have its factory return an object that keeps the protocol claimnotify.ports.Channel."
    _check_protocol(field, channel, Channel, remedy, what="what its factory returned ")
    if channel.name != name:
        raise ConfigurationError(
            field,
            f"its entry point gives a channel named {channel.name!r}",
            "Name entry point and channel alike.",
        )
    deadline: object = channel.attempt_deadline
    if not isinstance(deadline, timedelta) or deadline <= timedelta(0):
        raise ConfigurationError(
            field, f"its attempt_deadline is {deadline!r}", "Make it a timedelta above zero."
        )


def _check_installed(
    field: str, named: Mapping[str, object], channels: Mapping[str, Channel]
) -> None:
    unknown = sorted(map(str, named.keys() - channels.keys()))
    if unknown:
        raise ConfigurationError(
            field,
            f"names the channel {unknown[0]!r}, which is not installed",
            f"Installed are {', '.join(sorted(channels))}.",
        )


def _takes(function: Callable[..., object], name: str) -> bool:
    """Return whether a function names a parameter that can be given by that name."""
    try:
        found = inspect.signature(function).parameters.get(name)
    except (TypeError, ValueError):  # such as of a class written in C
        return False
    return found is not None and found.kind in (found.KEYWORD_ONLY, found.POSITIONAL_OR_KEYWORD)


def _check_maker(
    field: str, made_by: object, remedy: str, *values: object, **named: object
) -> None:
    """Check that `made_by` can be called with these arguments, without calling it."""
    if not callable(made_by):
        raise _wrong(field, made_by, remedy)
    try:
        signature = inspect.signature(made_by)
    except (TypeError, ValueError):  # such as of a class written in C
        return
    try:
        signature.bind(*values, **named)
    except TypeError as error:
        raise ConfigurationError(field, f"cannot be called so: {error}", remedy) from None


def _check_protocol(
    field: str, thing: object, protocol: type, remedy: str, *, what: str = ""
) -> None:
    """Check that `thing` has what `protocol` names, and can be called where that is a method."""
    if isinstance(thing, type):
        raise ConfigurationError(field, f"{what}is a class, {thing.__name__}", remedy)
    for kind in protocol.__mro__:
        if kind in (Protocol, object) or not getattr(kind, "_is_protocol", False):
            continue
        for name in sorted({*vars(kind), *inspect.get_annotations(kind)}):
            if name.startswith("_"):
                continue
            if not hasattr(thing, name):
                raise _wrong(field, thing, remedy, what=what, lack=f" without {name}")
            is_method = inspect.isfunction(vars(kind).get(name))
            if is_method and not callable(getattr(thing, name)):
                raise _wrong(field, thing, remedy, what=what, lack=f" whose {name} is no method")


def _wrong(
    field: str, thing: object, remedy: str, *, what: str = "", lack: str = ""
) -> ConfigurationError:
    return ConfigurationError(field, f"{what}is of type {type(thing).__name__}{lack}", remedy)
