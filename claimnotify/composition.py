"""Puts the parts together: settings in, store, dispatcher, channels, renderer and drains out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from weakref import WeakSet

from claimnotify.delivery.accept import Acceptor
from claimnotify.delivery.drain import Drain
from claimnotify.delivery.limits import Limits
from claimnotify.delivery.loop import LoopThread
from claimnotify.delivery.notices import Notices
from claimnotify.delivery.preparing import Preparer
from claimnotify.delivery.renewal import LeaseKeeper
from claimnotify.delivery.replay import Replayer
from claimnotify.delivery.sending import Sender
from claimnotify.delivery.sizes import WebhookSizes
from claimnotify.dispatch.inline import InlineDispatcher
from claimnotify.dispatch.location import parse_queue_url
from claimnotify.errors import ConfigurationError
from claimnotify.http import make_engine
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.registering import RegistrationCheck
from claimnotify.job_composition import JobParts
from claimnotify.model.ids import IdSource
from claimnotify.model.queues import DELIVERIES, JOB_QUEUES, QUEUES
from claimnotify.model.recipients import Recipient
from claimnotify.options import (
    check_options,
    checked_store,
    lease_of,
    look_up_of,
    make_channels,
    rates_of,
    schedules_of,
)
from claimnotify.policy.rates import RateLimit
from claimnotify.policy.retry import RetrySchedule, checked_schedules, schedule_for
from claimnotify.policy.streaks import StreakPolicy, gap_for
from claimnotify.ports import Channel, ChannelContext, Dispatcher, Renderer, Store, StoreClock
from claimnotify.secret_keys import secret_keys
from claimnotify.settings import Settings, data_directory
from claimnotify.store.store import SqlStore
from claimnotify.templates.brand import Brand
from claimnotify.templates.renderer import JinjaRenderer
from claimnotify.webhooks.directory import CachedEndpointDirectory
from claimnotify.webhooks.keys import KeyRing

__all__ = ["Parts", "assemble"]

_CLOSING = 5.0  # seconds for channels to take leave


@dataclass(kw_only=True)
class Parts:
    """What every `Notifier` of one application shares, whatever its tenant."""

    settings: Settings
    store: Store
    embedded: Path | None
    dispatcher: Dispatcher
    channels: Mapping[str, Channel]
    renderer: Renderer
    acceptor: Acceptor
    replayer: Replayer
    directory: CachedEndpointDirectory
    cipher: KeyRing
    policy: EgressPolicy
    registration: RegistrationCheck | None
    new_id: Callable[[], str]
    random: Random
    schedules: Mapping[str, RetrySchedule]
    rates: Mapping[str, RateLimit]
    loop: LoopThread = field(default_factory=LoopThread)
    keeper: LeaseKeeper
    jobs: JobParts
    notices: Notices
    drain_lock: threading.Lock = field(default_factory=threading.Lock)
    opened: bool = False
    drains: WeakSet[Drain] = field(default_factory=WeakSet)

    def drain(self, queue: str, *, on_more: Callable[[str], None] | None = None) -> Drain:
        """Return a drain of `queue` over the shared loop, with channels opened."""
        with self.drain_lock:
            if not self.opened:
                self.loop.submit(self._open()).result()
                self.opened = True
        preparer = Preparer(
            channels=self.channels,
            renderer=self.renderer,
            work=self.store.work,
            endpoints=self.directory,
            clock=self.store.clock,
            enabled=self.settings.enabled,
            limits=Limits(work=self.store.work, endpoints=self.directory, rates=self.rates),
        )
        sender = Sender(
            schedules=self.schedules, clock=self.store.clock.estimate, random=self.random
        )
        drain = Drain(
            queue,
            work=self.store.work,
            channels=self.channels,
            preparer=preparer,
            sender=sender,
            keeper=self.keeper,
            loop=self.loop,
            clock=self.store.clock,
            now=self.store.clock.estimate,
            batch_size=self.settings.batch_size,
            concurrency=self.settings.concurrency,
            rates=self.rates,
            on_more=on_more or (lambda _queue: None),
            solitude=self.jobs.company.solitude,
            notices=self.notices,
        )
        self.drains.add(drain)
        return drain

    def close(self) -> None:
        """Let drains end what they have in hand, then close channels, doorbell and store."""
        drains = list(self.drains)
        for drain in drains:
            drain.stop()
        for drain in drains:
            drain.rest(self.keeper.duration.total_seconds())
        self.jobs.close()
        self.keeper.close()
        if self.opened:
            self.loop.complete(self._aclose(), timeout=_CLOSING)
            self.opened = False
        self.loop.close()
        self.dispatcher.close()
        self.store.close()

    async def _open(self) -> None:
        for channel in self.channels.values():
            await channel.open()

    async def _aclose(self) -> None:
        for channel in self.channels.values():
            await channel.aclose()


class _LoopClock:
    """The clock for code on the event loop: it never does I/O."""

    def __init__(self, clock: StoreClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.estimate()


def assemble(
    settings: Settings,
    *,
    brand: Brand | str | Path | None = None,
    retry: Mapping[str, RetrySchedule] | None = None,
    dispatcher: Dispatcher | None = None,
    channels: Mapping[str, Callable[[ChannelContext], Channel]] | None = None,
    wrap: Callable[[Channel, ChannelContext], Channel] | None = None,
    random: Random | None = None,
    store: Callable[..., Store] | None = None,
    recipient_for: Callable[..., Recipient | None] | None = None,
) -> Parts:
    """Return the parts that `settings` describe. Opens no connection to a server.

    Args:
        settings: Where everything is.
        brand: Who messages come from, or the path of a file that says so, instead of the settings' brand file.
        retry: The application's own retry schedules by channel.
        dispatcher: A doorbell, instead of the one `queue_url` names.
        channels: Channel factories by name, instead of the installed entry points.
        wrap: Replaces each channel, for tests that catch what would be sent.
        random: Randomness for jitter.
        store: Makes a store, called with `ring=`, instead of the one `database_url` names.
        recipient_for: Returns the recipient whom to tell of what concerns an owner's id.

    Raises:
        ConfigurationError: A setting, option, channel or driver is wrong or missing; it names it.
    """
    check_options(brand=brand, dispatcher=dispatcher, channels=channels, random=random, store=store)
    if isinstance(brand, str | Path):
        brand = Brand.load(Path(brand))
    rings: list[Dispatcher] = []
    new_id = IdSource()
    random = random or SystemRandom()
    url = settings.database_url.get_secret_value() or _default_database()
    disable_after = timedelta(days=settings.webhook_disable_after_days)
    webhooks = schedule_for("webhook", checked_schedules(retry))
    streaks = StreakPolicy(disable_after=disable_after, gap=gap_for(webhooks, disable_after))
    pool_size = max(5, len(QUEUES) + 3)
    make = store or partial(SqlStore, url, new_id=new_id, pool_size=pool_size, streaks=streaks)
    kept = checked_store(make(ring=lambda queue: rings[0].ring(queue)))
    embedded = getattr(kept, "embedded", None)
    keys = secret_keys(settings, embedded)
    cipher = KeyRing(keys)
    directory = CachedEndpointDirectory(kept.endpoints, cipher=cipher)
    context = ChannelContext(
        settings=settings,
        http=partial(make_engine, kind=settings.http_engine),
        endpoints=directory,
        random=random,
        clock=_LoopClock(kept.clock),
    )
    made = make_channels(context, channels)
    if wrap is not None:
        made = {name: wrap(channel, context) for name, channel in made.items()}
    acceptor = Acceptor(
        outbox=kept.outbox,
        channels=made,
        new_id=new_id,
        queue=DELIVERIES,
        sizes=WebhookSizes(settings.webhook_max_payload_bytes),
    )
    keeper = LeaseKeeper(kept.work, duration=lease_of(settings, made))
    policy = EgressPolicy(
        allow_networks=settings.webhook_allow_networks,
        allow_http=settings.webhook_allow_http,
        allow_ports=settings.webhook_allow_ports,
    )
    parts = Parts(
        settings=settings,
        store=kept,
        embedded=embedded,
        dispatcher=dispatcher or InlineDispatcher(lambda _queue: None),
        channels=made,
        renderer=JinjaRenderer(
            template_dir=settings.template_dir,
            brand=brand or (Brand.load(settings.brand) if settings.brand else None),
            public_url=settings.public_url,
        ),
        acceptor=acceptor,
        replayer=Replayer(kept.replays, clock=kept.clock, new_id=new_id),
        directory=directory,
        cipher=cipher,
        policy=policy,
        registration=RegistrationCheck(policy) if settings.webhook_check_dns else None,
        new_id=new_id,
        random=random,
        schedules=schedules_of(retry, made),
        rates=rates_of(settings, made),
        keeper=keeper,
        jobs=JobParts(settings=settings, store=kept, random=random),
        notices=Notices(
            work=kept.work,
            acceptor=acceptor,
            clock=kept.clock,
            recipient_for=look_up_of(recipient_for),
            operations_email=settings.operations_email,
        ),
    )
    if dispatcher is None:
        parts.dispatcher = _dispatcher(settings, embedded, keys[0], parts)
    sign_with = getattr(parts.dispatcher, "sign_with", None)
    if sign_with is not None:
        sign_with(keys[0].encode())
    rings.append(parts.dispatcher)
    return parts


def _default_database() -> str:
    return f"sqlite:///{data_directory() / 'claimnotify.db'}"


def _dispatcher(settings: Settings, embedded: Path | None, key: str, parts: Parts) -> Dispatcher:
    url = settings.queue_url.get_secret_value()
    if url == "inline://":
        return InlineDispatcher(
            lambda queue: (
                parts.jobs.run(queue) if queue in JOB_QUEUES else parts.drain(queue).until_idle()
            )
        )
    if url and embedded is not None:
        place = parse_queue_url(url)
        if place.backend == "sqlite" and Path(place.target).resolve() == embedded.resolve():
            raise ConfigurationError(
                "queue_url", "names the file of the database", "Name another file, or leave it out."
            )
    from claimnotify.dispatch.huey import HueyDispatcher  # brings Huey and every driver there is

    if not url:
        database = embedded or data_directory() / "claimnotify.db"
        url = f"sqlite:///{database.with_name(database.stem + '-queue.db')}"
    return HueyDispatcher(url, signing_key=key.encode(), queues=QUEUES)
