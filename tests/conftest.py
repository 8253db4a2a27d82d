"""What holds for all tests: a loaded machine is slow, and nothing of ours fails because of it."""

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:
    # What is released is looked into by an environment that has pytest alone.
    pass
else:
    # CI's own profile stays what it is beside that.
    settings.register_profile(
        "refseg", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("refseg")
