"""Tells Ray Serve which replica a request goes to."""

from __future__ import annotations

from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from longctx.deploy.forwarded import Forwarded
from longctx.deploy.homes import Homes
from longctx.deploy.place import Place
from longctx.deploy.places import Places


# Ray is an extra and mypy runs without it: its classes are Any there.
class ConversationRouter(RequestRouter):  # type: ignore[misc]  # Ray's is untyped
    """Sends a conversation where its cache is, as :class:`~longctx.deploy.homes.Homes` ranks.

    What names something that one replica keeps goes there and nowhere else. A replica whose places
    are all taken is passed over, and where all are, requests wait.
    """

    def initialize_state(self, at_once: int) -> None:
        """Begin with nothing remembered; Ray's constructor calls this.

        Args:
            at_once: answers that a replica writes at a time. Ray lets it have a few more requests,
                for what is quick.
        """
        self._at_once = at_once
        self._homes = Homes()
        self._places = Places()

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """The replicas in the order in which they are to be tried; none is: try again later."""
        if pending_request is None:
            return [candidate_replicas]
        # Later, and not at once.
        pending_request.routing_context.should_backoff = True
        place = _place(pending_request)
        by_name = {each.replica_id.unique_id: each for each in candidate_replicas}
        if place.instance in by_name:
            by_name = {place.instance: by_name[place.instance]}
        if not place.is_answered:
            return [list(by_name.values())]
        request = pending_request.metadata.internal_request_id
        self._places.give_back(request)  # where it could not go
        n_given = self._places.taken()
        taken = {name: self._taken(each, n_given.get(name, 0)) for name, each in by_name.items()}
        free = {name: share for name, share in taken.items() if share < 1}
        for best in self._homes.rank(place.marks, free)[:1]:
            self._places.give(request, best, pending_request)
            return [[by_name[best]]]
        return []

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, _result: Any
    ) -> None:
        """Remember who reads it."""
        self._places.routed(pending_request.metadata.internal_request_id)
        names = {each.unique_id for each in self.curr_replicas}
        self._homes.remember(_place(pending_request).marks, replica_id.unique_id, names)

    def on_request_completed(self, _replica_id: ReplicaID, internal_request_id: str) -> None:
        """Its place is free."""
        self._places.give_back(internal_request_id)

    def _taken(self, replica: RunningReplica, n_given: int) -> float:
        """The share of its places; other doors than this one may have given some of them."""
        n_under_way = self.replica_queue_len_cache.get(replica.replica_id) or 0
        return float(max(n_under_way, n_given) / self._at_once)


def _place(request: PendingRequest) -> Place:
    """Calls of another kind, such as a broadcast, may go anywhere."""
    return next((a.place for a in request.args if isinstance(a, Forwarded)), Place())
