"""What this installation is, and whether it works: for a terminal, and for a bug report."""

from longctx.doctor.environment import examine
from longctx.doctor.report import CacheFolder, Check, DoctorReport, Extra
from longctx.doctor.self_test import self_test

__all__ = ["CacheFolder", "Check", "DoctorReport", "Extra", "examine", "self_test"]
