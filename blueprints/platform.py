"""The parts that live as long as the process, and the background work that keeps them current.

`create_app` builds one `Platform` without starting anything; a server process calls `start`. So a
CLI command or a test can use the app without opening a journal or a greenlet.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path

import gevent
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from blueprints.key_cache import KeyCache
from blueprints.recorder import Recorder
from config import Config
from gateway import catalog as catalogs
from gateway.dispatch import Dispatcher
from gateway.image_store import ImageStore
from gateway.journal import Journal, count_open
from gateway.providers import connect
from gateway.quota import WINDOW, MemoryQuota, Quota
from gateway.reasoning import Memory, MemoryReasoningStore, ReasoningStore
from gateway.transport import Transport
from models import db
from models.audit import current_epoch
from models.keys import store_last_used
from models.usage import admitted_since

log = logging.getLogger(__name__)

FLUSH_EVERY = 0.25
EPOCH_EVERY = 0.5
LAST_USED_EVERY = 2.0
DISCOVER_EVERY = 60.0


class Platform:
    """Everything shared by all requests of this process."""

    def __init__(self, app: Flask, config: Config) -> None:
        self.app = app
        self.config = config
        self.pepper = config.derive("api-key-pepper")
        self.keys = KeyCache(self.pepper)
        self.quota: Quota = MemoryQuota()
        self.reasoning: ReasoningStore = MemoryReasoningStore()
        self._reasoning_seal = config.derive("reasoning-seal")
        self.journal = Journal(config.data_path / "journal")
        self.recorder = Recorder(self.journal)
        self.dispatcher = Dispatcher(Transport())
        self.images = ImageStore(config.data_path / "images", config.derive("image-links"))
        self.started_at = time.time()
        self.is_draining = False
        self._greenlets: list[gevent.Greenlet] = []
        self._discovered: dict[str, list[str]] = {}
        self.catalog = self._build_catalog()

    def start(self) -> None:
        """Take up what a dead process left, then begin the background work."""
        with self.app.app_context():
            self.recorder.replay()
            minute = time.time() // WINDOW * WINDOW
            self.quota.restore(admitted_since(datetime.fromtimestamp(minute, UTC)))
            self.keys.follow_epoch(current_epoch())
            db.session.remove()
        self._spawn(self._flush, FLUSH_EVERY)
        self._spawn(self._follow_epoch, EPOCH_EVERY)
        self._spawn(self._store_last_used, LAST_USED_EVERY)
        if self.config.local_base_url:
            self._spawn(self.discover, DISCOVER_EVERY, at_once=True)

    def stop(self) -> None:
        """Store what is settled and release the journal. What stays open is replayed later."""
        self.is_draining = True
        gevent.killall(self._greenlets)
        self._greenlets = []
        with self.app.app_context():
            self._guarded(self._flush_last)
            self._guarded(self._store_last_used)
        self.journal.close()

    def memory_of(self, user_id: str) -> Memory:
        """The reasoning state of one user's tool conversations."""
        return Memory(self.reasoning, user_id, self._reasoning_seal)

    def journal_open(self) -> int:
        """Calls admitted and not settled, by any process that shares this data directory."""
        return count_open(self.journal.directory)

    def discover(self) -> None:
        """Ask the local server which models it has; a failure keeps what was known."""
        found = catalogs.discover(self.config.local_base_url, self.config.local_api_key)
        if found and found != self._discovered.get("local"):
            self._discovered = {"local": found}
            self.catalog = self._build_catalog()

    # ------------------------------------------------------------------------- background

    def _spawn(self, work, every: float, *, at_once: bool = False) -> None:
        self._greenlets.append(gevent.spawn(self._repeat, work, every, at_once))

    def _repeat(self, work, every: float, at_once: bool) -> None:
        with self.app.app_context():
            if at_once:
                self._guarded(work)
            while True:
                gevent.sleep(every)
                self._guarded(work)

    def _guarded(self, work) -> None:
        """Background work outlives a database that is away for a while."""
        try:
            work()
        except (SQLAlchemyError, OSError, catalogs.CatalogError) as error:
            log.warning("background work failed: %s: %s", work.__name__, type(error).__name__)
            db.session.rollback()
        finally:
            db.session.remove()

    def _flush(self) -> None:
        self.recorder.flush()

    def _flush_last(self) -> None:
        self.recorder.flush(is_last=True)

    def _follow_epoch(self) -> None:
        self.keys.follow_epoch(current_epoch())

    def _store_last_used(self) -> None:
        store_last_used(self.recorder.take_last_used())

    def _build_catalog(self) -> catalogs.Catalog:
        settings = {
            name: getattr(self.config, name)
            for name in vars(self.config)
            if name.endswith(("_api_key", "_base_url"))
        }
        overlay = Path(self.config.catalog) if self.config.catalog else None
        return catalogs.build(connect(settings), overlay=overlay, discovered=self._discovered)
