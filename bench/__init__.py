"""`python -m bench` in the repo root is `flux bench`; the benchmark itself is the package `flux_bench`."""
