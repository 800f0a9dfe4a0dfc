"""How the benchmark programs measure: processes, CPU seconds, alternating rounds, ratios, tables."""
