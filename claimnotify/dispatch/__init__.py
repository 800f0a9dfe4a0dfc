"""The doorbell: how `notify()` wakes a worker. Carries no payload; a lost ring costs latency only."""
