"""claimnotify as an application uses it, driven by the benchmarks through its public face."""
