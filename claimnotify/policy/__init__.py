"""Pure functions of (model, now): routing and retry schedules. No I/O."""
