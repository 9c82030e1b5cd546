"""GGUF files by name, in one JSON file of llm's user folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import llm

from llm_longctx.errors import LongCtxModelError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def plugin_dir() -> Path:
    """The folder of this plugin's files inside llm's."""
    return Path(llm.user_dir()) / "longctx"


class NamedModels:
    """Names and paths, in ``models.json``. It is read anew at each question."""

    def __init__(self) -> None:
        self.file = plugin_dir() / "models.json"

    def all(self) -> dict[str, str]:
        """Paths by name.

        Raises:
            LongCtxModelError: the file is damaged.
        """
        try:
            found = json.loads(self.file.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise LongCtxModelError(
                f"{self.file} cannot be read ({error}); repair it, or delete it and add the "
                "models again"
            ) from error
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise LongCtxModelError(
                f"{self.file} is no object of paths by name; repair it, or delete it and add the "
                "models again"
            )
        return found

    def add(self, name: str, path: Path) -> None:
        """Note a file.

        Raises:
            LongCtxModelError: the name is taken, or is none.
        """
        models = self.all()
        if not _NAME.fullmatch(name):
            raise LongCtxModelError(
                f"{name!r} is no name: use letters, digits, dots, dashes and underscores"
            )
        if name in models:
            raise LongCtxModelError(
                f"{name} is {models[name]} already; `llm longctx remove {name}` first, or take "
                "another name"
            )
        self._write({**models, name: str(path.expanduser().resolve())})

    def remove(self, name: str) -> None:
        """Forget a name; the file stays.

        Raises:
            LongCtxModelError: there is none.
        """
        models = self.all()
        if name not in models:
            known = ", ".join(models) or "none yet"
            raise LongCtxModelError(f"there is no model {name}; the names are: {known}")
        del models[name]
        self._write(models)

    def _write(self, models: dict[str, str]) -> None:
        from longctx import RequestError
        from longctx.files import write_whole

        try:
            write_whole(self.file, f"{json.dumps(models, indent=2)}\n".encode(), parents=True)
        except (OSError, RequestError) as error:
            raise LongCtxModelError(f"{self.file} cannot be written ({error})") from error
