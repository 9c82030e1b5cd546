"""A plan in the words of a serving engine, and what that engine has no words for.

Pure functions of a :class:`~longctx.planner.ContextPlan`; nothing is loaded and nothing is run.
What each engine can say was read in its sources (docs/export.md has the versions).
"""

from longctx.export.engines import ENGINES, export_plan
from longctx.export.result import Engine, Export

__all__ = ["ENGINES", "Engine", "Export", "export_plan"]
