"""Which answers have a place on which replica, from the moment that it is chosen."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class _Given:
    replica: str
    waits: Callable[[], Any]
    """What asked for the place, until it is gone."""
    is_routed: bool = False


class Places:
    """Counts the answers of each replica.

    Ray counts a request when it is sent, after others were given the same place, and then believes
    the replica, which knows less. Here a place is taken when it is given. It is free again when
    its answer is over, or when nobody waits for it any more: a client that hangs up before its
    request is sent is told of by nothing else.
    """

    def __init__(self) -> None:
        self._given: dict[str, _Given] = {}

    def give(self, request: str, replica: str, waiting: object) -> None:
        """A request is to go to a replica; what it was given before is free.

        Args:
            request: its id.
            replica: its name.
            waiting: is there as long as the request waits to be sent; it is held weakly.
        """
        self._given[request] = _Given(replica, weakref.ref(waiting))

    def give_back(self, request: str) -> None:
        """It is over, or goes elsewhere."""
        self._given.pop(request, None)

    def routed(self, request: str) -> None:
        """The replica has it. Where it is over already, nothing is said."""
        if request in self._given:
            self._given[request].is_routed = True

    def taken(self) -> dict[str, int]:
        """Places that are taken of each replica that has any."""
        n_taken: dict[str, int] = {}
        for request, given in list(self._given.items()):
            if given.is_routed or given.waits() is not None:
                n_taken[given.replica] = n_taken.get(given.replica, 0) + 1
            else:
                del self._given[request]
        return n_taken
