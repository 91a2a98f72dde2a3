"""The `revenue-*` commands: what each takes, and which owner or notice answers it."""
