"""Casts: what sounds in a mixture. A recipe draws its sources from one."""

from avsep.data.casts.base import Cast, Needs, Source
from avsep.data.casts.events import SoundEvents
from avsep.data.casts.mixit import MixturesOfMixtures
from avsep.data.casts.speakers import Speakers
from avsep.data.casts.stems import Stems

__all__ = ["Cast", "MixturesOfMixtures", "Needs", "SoundEvents", "Source", "Speakers", "Stems"]
