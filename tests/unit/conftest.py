"""Hypothesis without limits of time: other tests run beside these, and how long one takes says nothing."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "beside others", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("beside others")
