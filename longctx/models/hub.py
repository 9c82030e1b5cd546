"""Hugging Face's hub, through its own library: what is in a repository, and its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longctx.errors import MissingExtraError, ModelFileError, RemoteError, RequestError
from longctx.models.hub_cache import MAIN
from longctx.models.names import HubName

_TIMEOUT_S = 10.0
_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Listing:
    """What is in a repository: its commit, and all files' sizes in bytes by name."""

    commit: str
    files: dict[str, int]


class Hub:
    """The hub of ``HF_ENDPOINT``, with the login that its library has.

    Args:
        cache: the folder that files are kept in.

    Raises:
        MissingExtraError: ``huggingface_hub`` is not installed.
    """

    def __init__(self, cache: Path) -> None:
        try:
            import huggingface_hub
        except ImportError as error:
            raise MissingExtraError(
                'models of Hugging Face need huggingface_hub: pip install "longctx-sdk[hub]"'
            ) from error
        self._library = huggingface_hub
        self._cache = cache
        self.endpoint = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")

    def listing(self, name: HubName) -> Listing:
        """What a repository has.

        Raises:
            RequestError: it cannot be one's name.
            ModelFileError: there is no such repository or revision.
            RemoteError: the hub cannot be reached, refuses, or failed.
        """
        with self._told(name, "asked for its files"):
            found = self._library.HfApi(endpoint=self.endpoint).model_info(
                name.repo, revision=name.revision, files_metadata=True, timeout=_TIMEOUT_S
            )
        files = {each.rfilename: each.size or 0 for each in found.siblings or ()}
        return Listing(commit=found.sha or "", files=files)

    def head(self, name: HubName, file: str, *, n_bytes: int, begin: int = 0) -> bytes:
        """So many bytes of a file, or up to its end, without keeping them.

        Raises:
            RemoteError: the hub cannot be reached, refuses, or failed.
        """
        url = self._library.hf_hub_url(
            name.repo, file, revision=name.revision, endpoint=self.endpoint
        )
        headers = {"Range": f"bytes={begin}-{begin + n_bytes - 1}"}
        if token := self._library.get_token():
            headers["Authorization"] = f"Bearer {token}"
        client = self._library.get_session()
        pieces, skip = [], begin
        with (
            self._told(name, "asked for the beginning of a file"),
            client.stream("GET", url, headers=headers, follow_redirects=True) as response,
        ):
            self._library.hf_raise_for_status(response)
            if response.status_code == 206:
                skip = 0  # else it sends the file from its beginning, and is stopped in time
            n_read = 0
            for piece in response.iter_bytes():
                pieces.append(piece)
                n_read += len(piece)
                if n_read >= skip + n_bytes:
                    break
        return b"".join(pieces)[skip : skip + n_bytes]

    def download(self, name: HubName, file: str) -> Path:
        """Bring a file into the cache, from where it broke off; one that is there stays.

        Raises:
            ModelFileError: there is no such file any more.
            RemoteError: the hub cannot be reached, refuses, or broke off.
        """
        with self._told(name, f"was sending {file}; what has come is kept, the same call goes on"):
            return Path(
                self._library.hf_hub_download(
                    name.repo,
                    file,
                    revision=name.revision,
                    cache_dir=self._cache,
                    endpoint=self.endpoint,
                )
            )

    @contextmanager
    def _told(self, name: HubName, doing: str) -> Iterator[None]:
        """The library's errors as ours."""
        from huggingface_hub import errors

        # Its client is httpx or a successor, by its version; this is the base of their errors.
        transport: Any = errors.HfHubHTTPError.__bases__[0]
        place = f"{name.repo} at {self.endpoint}"
        try:
            yield
        except errors.GatedRepoError as error:
            raise RemoteError(
                f"{place} is gated: accept its terms on {self.endpoint}/{name.repo}, and log in "
                "with `hf auth login`, or set HF_TOKEN",
                status=403,
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise ModelFileError(
                f"there is no repository {place}, or it is private: check the name; for a private "
                "one log in with `hf auth login`, or set HF_TOKEN"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise ModelFileError(
                f"{place} has no revision {name.revision or MAIN!r}: check what stands behind @"
            ) from error
        except errors.RemoteEntryNotFoundError as error:
            raise ModelFileError(f"{place} has a file no longer: {error}") from error
        except errors.HFValidationError as error:
            raise RequestError(f"{name.repo!r} is no name of a repository: {error}") from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            raise RemoteError(
                f"{place} answered {status} when it {doing}: {error}", status=status
            ) from error
        except (transport, OSError, ValueError) as error:
            raise RemoteError(f"{place} cannot be reached, or broke off, when it {doing}: "
                              f"{error or type(error).__name__}") from error  # fmt: skip
