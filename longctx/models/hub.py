"""Hugging Face's hub, through its own library: what is in a repository, and its files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from longctx.errors import MissingExtraError, ModelFileError, RemoteError, RequestError
from longctx.models.hub_cache import MAIN, repository_folder
from longctx.models.names import HubName
from longctx.models.partial import Answer, Whole, bring

_TIMEOUT_S = 10.0
_HUB = "https://huggingface.co"
_MOST_HTTP_BYTES = 50 * 10**9
"""Larger files the hub sends only to the library, by a protocol of their own."""


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
        pieces, n_read = [], 0
        with (
            self._told(name, "asked for the beginning of a file"),
            self._open(self._url(name, file), begin, begin + n_bytes - 1) as response,
        ):
            # Where it sends the file from its beginning, it is stopped in time.
            skip = 0 if response.status_code == 206 else begin
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
            self._bring_blob(name, file)
            return Path(
                self._library.hf_hub_download(
                    name.repo,
                    file,
                    revision=name.revision,
                    cache_dir=self._cache,
                    endpoint=self.endpoint,
                )
            )

    def _bring_blob(self, name: HubName, file: str) -> None:
        """Put a file where the library looks for it before it downloads it, and links it."""
        from filelock import FileLock  # the library's own, with the same files

        url = self._url(name, file)
        about = self._library.get_hf_file_metadata(
            url, token=self._library.get_token(), endpoint=self.endpoint
        )
        etag, size = about.etag or "", about.size or 0
        folder = repository_folder(self._cache, name.repo)
        blob = folder / "blobs" / etag
        if not re.fullmatch(r"\w{8,}", etag) or not 0 < size <= _MOST_HTTP_BYTES:
            return  # the library knows what to do
        lock = self._cache / ".locks" / folder.name / f"{etag}.lock"
        for parent in (lock.parent, blob.parent):
            parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock), _bar(Path(file).name, size) as report:
            if not blob.exists():
                bring(
                    Whole(
                        blob,
                        size,
                        sha256=etag if len(etag) == 64 else None,
                        begin=lambda here: self._open(url, here),
                        transient=self._transport,
                    ),
                    report,
                )

    def _url(self, name: HubName, file: str) -> str:
        return self._library.hf_hub_url(
            name.repo, file, revision=name.revision, endpoint=self.endpoint
        )

    @contextmanager
    def _open(self, url: str, begin: int, last: int | None = None) -> Iterator[Answer]:
        headers = {"Range": f"bytes={begin}-{last or ''}", "Accept-Encoding": "identity"}
        if token := self._library.get_token():
            headers["Authorization"] = f"Bearer {token}"
        with self._library.get_session().stream(
            "GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S
        ) as response:
            self._library.hf_raise_for_status(response)
            yield response

    @property
    def _transport(self) -> type[Exception]:
        """Base of the errors of the library's client, httpx or a successor, by its version."""
        from huggingface_hub.errors import HfHubHTTPError

        base: type[Exception] = HfHubHTTPError.__bases__[0]
        return base

    @contextmanager
    def _told(self, name: HubName, doing: str) -> Iterator[None]:
        """The library's errors as ours."""
        from huggingface_hub import errors

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
        except (self._transport, OSError, ValueError) as error:
            raise RemoteError(
                f"{place} cannot be reached, or broke off, when it {doing}: "
                f"{error or type(error).__name__}. Try again with a network, or pass a file; "
                "`longctx models` lists the models on this machine"
            ) from error


@contextmanager
def _bar(name: str, n_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar of bytes, speed and time on a terminal's stderr."""
    console = Console(stderr=True, emoji=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=n_bytes)
        yield lambda here: bar.update(task, completed=here)
