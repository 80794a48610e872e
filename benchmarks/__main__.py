"""`make bench`, or `make bench ARGS="imports dbt"`: run all benchmarks, or some by name."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(wanted: list[str]) -> None:
    """Run the modules `bench_<name>` whose names are wanted; all of them if none is."""
    known = [
        m.name.removeprefix("bench_")
        for m in pkgutil.iter_modules(benchmarks.__path__)
        if m.name.startswith("bench_")
    ]
    if unknown := set(wanted) - set(known):
        sys.exit(
            f"No benchmark is called {', '.join(sorted(unknown))}. There are: {', '.join(known)}"
        )
    for name in wanted or known:
        importlib.import_module(f"benchmarks.bench_{name}").main()


main(sys.argv[1:])
