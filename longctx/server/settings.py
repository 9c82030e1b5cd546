"""What an operator chooses about the server."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from longctx.errors import RequestError
from longctx.sampling import Sampling
from longctx.server.origins import LOOPBACK
from longctx.types import Frozen


class ServerSettings(Frozen):
    """Who may ask, how much, and for how long.

    ``model_id`` is the name that clients give (None: the model's own name), and ``strict_model``
    refuses other names, which are answered otherwise, with a warning; ``api_key`` the bearer token
    they must send (None asks for none); ``allowed_hosts`` the names in the ``Host`` and ``Origin``
    headers that are answered, without ports (empty: all hosts, and pages of their own), which keeps
    foreign web pages away from a server on loopback; ``cors`` the other origins whose pages may
    ask, such as ``https://chat.example.org`` or ``app://obsidian.md``, ``vscode-webview://*`` all
    of a scheme, ``localhost`` those of this machine whatever their port, ``*`` all there are.

    ``max_tokens`` bounds an answer that names no bound (None: the window alone), and ``sampling``
    has the options of requests that do not say them, over those of the model's file, or a
    temperature of 1 where it has none.

    ``max_waiting`` answers may wait for the one under way; ``timeout_s`` bounds one answer, its
    wait included; ``max_body_bytes`` bounds a request; ``grace_s`` is what answers under way get
    when the server stops. ``max_responses`` and ``max_responses_bytes`` bound what
    ``/v1/responses`` keeps for ``previous_response_id``; the least recently used go. ``max_files``,
    ``max_files_bytes`` and ``files_minutes`` bound the texts of files that were given to the page;
    the oldest go. ``instance`` tells this server from others that answer as one with it: the ids
    of responses and items carry it.
    """

    model_id: str | None = None
    strict_model: bool = False
    api_key: str | None = Field(default=None, min_length=1, repr=False)
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    cors: tuple[str, ...] = ()
    max_tokens: int | None = Field(default=None, ge=1)
    sampling: dict[str, Any] = Field(default_factory=dict)
    max_waiting: int = Field(default=16, ge=0)
    timeout_s: float = Field(default=1800.0, gt=0)
    max_body_bytes: int = Field(default=32 * 2**20, ge=1)
    grace_s: int = Field(default=30, ge=0)
    max_responses: int = Field(default=1000, ge=0)
    max_responses_bytes: int = Field(default=64 * 2**20, ge=0)
    instance: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    max_files: int = Field(default=100, ge=0)
    max_files_bytes: int = Field(default=64 * 2**20, ge=0)
    files_minutes: float = Field(default=60.0, gt=0)

    @field_validator("cors")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, mark, rest = origin.partition("://")
            if origin not in ("*", LOOPBACK) and not (scheme and mark and rest and "/" not in rest):
                raise ValueError(
                    f"{origin!r} is no origin; write scheme and host, such as "
                    "https://chat.example.org, without a path"
                )
        return value

    @field_validator("sampling")
    @classmethod
    def _are_options(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            Sampling.of(value)
        except RequestError as error:
            raise ValueError(str(error)) from error
        return value
