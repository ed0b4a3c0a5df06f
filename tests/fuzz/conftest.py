"""How many examples, and which: the same few for `make test`, as many others as FUZZ says for `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_COMMON = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "report_multiple_bugs": False,
}

# A file that makes a reader hang is not made smaller in `make test`: each try would take as long again.
settings.register_profile("test", derandomize=True, phases=[Phase.generate], **_COMMON)
settings.register_profile("fuzz", phases=[Phase.generate, Phase.shrink], print_blob=True, **_COMMON)
settings.load_profile("fuzz" if "FUZZ" in os.environ else "test")
