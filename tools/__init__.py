"""Programs for the makers of longctx; no part of the package."""
