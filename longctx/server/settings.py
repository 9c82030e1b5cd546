"""What an operator chooses about the server."""

from __future__ import annotations

from pydantic import Field

from longctx.types import Frozen


class ServerSettings(Frozen):
    """Who may ask, how much, and for how long.

    ``model_id`` is the name that clients give (None: the model's own name); ``api_key`` the
    bearer token they must send (None asks for none); ``allowed_hosts`` the names in the
    ``Host`` and ``Origin`` headers that are answered, without ports (empty: all hosts, and pages
    of their own), which keeps foreign web pages away from a server on loopback. ``max_waiting``
    answers may wait for the one under way; ``timeout_s`` bounds one answer, its wait included;
    ``max_body_bytes`` bounds a request; ``grace_s`` is what answers under way get when the server
    stops. ``max_responses`` and ``max_responses_bytes`` bound what ``/v1/responses`` keeps for
    ``previous_response_id``; the least recently used go. ``instance`` tells this server from others
    that answer as one with it: the ids of responses and items carry it.
    """

    model_id: str | None = None
    api_key: str | None = Field(default=None, min_length=1, repr=False)
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    max_waiting: int = Field(default=16, ge=0)
    timeout_s: float = Field(default=1800.0, gt=0)
    max_body_bytes: int = Field(default=32 * 2**20, ge=1)
    grace_s: int = Field(default=30, ge=0)
    max_responses: int = Field(default=1000, ge=0)
    max_responses_bytes: int = Field(default=64 * 2**20, ge=0)
    instance: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
