"""Faces: found, followed through each shot, and recognised from shot to shot."""

from avsep.faces.find import FacesFound, find_faces

__all__ = ["FacesFound", "find_faces"]
