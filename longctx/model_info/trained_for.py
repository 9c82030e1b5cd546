"""What an adapter of ``longctx finetune`` says that it was trained for, in its metadata."""

from __future__ import annotations

from pydantic import ValidationError

from longctx.errors import ModelFileError
from longctx.model_info.gguf_header import GgufHeader
from longctx.types import Frozen, first_problem

_PREFIX = "longctx.finetune."


class TrainedFor(Frozen):
    """The map of positions that an adapter was taught, and beside which model.

    ``target_ctx`` is the window in tokens, ``parameters`` how the method was set, as JSON of
    :class:`longctx.planner.ProfileParameters`. ``base_sha256`` is of the file that it was trained
    on; ``base_norms_sha256`` is the same for every quantisation of that model.
    """

    method: str
    target_ctx: int
    parameters: str
    base_name: str
    base_sha256: str
    base_norms_sha256: str

    def metadata(self) -> dict[str, str | int]:
        """As a GGUF's keys and values."""
        return {_PREFIX + name: value for name, value in self.model_dump().items()}

    def __str__(self) -> str:
        return f"{self.method} at {self.target_ctx:,} tokens"


def read_trained_for(header: GgufHeader) -> TrainedFor | None:
    """What an adapter's header says; None where it says nothing.

    Raises:
        ModelFileError: some of it is missing or of another kind.
    """
    said = {
        key.removeprefix(_PREFIX): value
        for key, value in header.metadata.items()
        if key.startswith(_PREFIX)
    }
    if not said:
        return None
    try:
        return TrainedFor.model_validate(said)
    except ValidationError as error:
        raise ModelFileError(
            f"{header.path} says wrongly what it was trained for ({first_problem(error, 'it')}); "
            "run `longctx finetune` again"
        ) from error
