"""The page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.server.live_server import LiveServer
from tests.support.browser import Opened


@pytest.fixture
def page(browser: Browser, server: LiveServer) -> Iterator[Page]:
    """The page of the tiny model; it must ask no other host and log no error."""
    with Opened(browser, server.url) as page:
        yield page
