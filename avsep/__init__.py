"""avsep: one clean track per person from a video in which several people talk at once."""

from typing import TYPE_CHECKING, Any

from avsep.version import __version__

__all__ = ["Options", "Separator", "__version__"]

if TYPE_CHECKING:
    from avsep.pipeline import Options, Separator


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that `avsep --help` need not wait for torch.
    if name in ("Options", "Separator"):
        from avsep import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'avsep' has no attribute {name!r}")
