"""Weights that other projects published, as models of this one.

`read_published` takes a file or folder as it was published and finds out by its tensors whose it is; each origin is
one file of this package. Nothing in a checkpoint is run: it is read with torch's weights_only. `catalog` knows where
some of them lie.
"""

from avsep.importing.origins import Imported, read_published

__all__ = ["Imported", "read_published"]
