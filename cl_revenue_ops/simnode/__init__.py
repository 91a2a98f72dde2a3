"""A simulated Core Lightning node that plays lightningd to the real plugin process."""
