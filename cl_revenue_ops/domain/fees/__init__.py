"""What a channel should charge, and why: pure rules from facts to a recorded decision."""
