"""The harness: types, registry, runner, store, scoring and command line."""
