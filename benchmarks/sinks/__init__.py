"""What receives in the benchmarks: servers that do as little as possible, in their own processes."""
