"""Files become text."""
