"""Ray is an extra."""

from __future__ import annotations

import subprocess
import sys


def test_without_ray_the_extra_is_named() -> None:
    """Where it is not installed, whatever is asked for first."""
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from longctx.errors import MissingExtraError\n"
        "try:\n    import longctx.deploy.ray_serve\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'longctx-sdk[ray]'" in done.stdout


def test_the_decisions_need_no_ray() -> None:
    """Where a conversation goes is tested in every environment."""
    code = "import sys, longctx.deploy.homes, longctx.deploy.place; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
