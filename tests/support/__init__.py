"""What the tests share and the package does not ship."""
