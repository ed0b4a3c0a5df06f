"""The ways to turn a scene into tracks, one a file; the first that fits a scene and a model is taken."""

from avsep.modes.array import Array
from avsep.modes.base import Mode
from avsep.modes.by_sound import BySound
from avsep.modes.enrolment_condition import EnrolmentCondition
from avsep.modes.guided import Guided
from avsep.modes.lips_condition import LipsCondition
from avsep.modes.lips_match import LipsMatch
from avsep.modes.universal import Universal

MODES: tuple[Mode, ...] = (
    LipsCondition(),
    EnrolmentCondition(),
    Universal(),
    Guided(),
    Array(),
    LipsMatch(),
    BySound(),
)

__all__ = ["MODES", "Mode"]
