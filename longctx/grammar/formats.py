"""Formats of strings, and which of them a grammar holds."""

from __future__ import annotations

HELD = frozenset(
    {
        "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "unknown",
        "uri", "uuid",
    }
)  # fmt: skip
ASSERTING = frozenset(
    {
        "idn-email", "idn-hostname", "iri", "iri-reference", "json-pointer", "regex",
        "relative-json-pointer", "uri-reference", "uri-template",
    }
)  # fmt: skip
"""Formats of the JSON Schema specification; others say how a value is meant, as int64 does."""
DURATION = ("^P(?:{n}W|(?:{n}D|{n}M(?:{n}D)?|{n}Y(?:{n}M(?:{n}D)?)?)(?:T{time})?|T{time})$").format(
    n="[0-9]{1,6}",
    time="(?:[0-9]{1,6}S|[0-9]{1,6}M(?:[0-9]{1,6}S)?|[0-9]{1,6}H(?:[0-9]{1,6}M(?:[0-9]{1,6}S)?)?)",
)
"""RFC 3339's, appendix A, of so many digits as any library reads."""
