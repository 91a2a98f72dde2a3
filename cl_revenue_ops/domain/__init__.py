"""Pure decisions: facts, state and parameters in, results with their reasons out."""
