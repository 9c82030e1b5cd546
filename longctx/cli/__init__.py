"""The ``longctx`` command: one file a subcommand."""

from longctx.cli.app import main

__all__ = ["main"]
