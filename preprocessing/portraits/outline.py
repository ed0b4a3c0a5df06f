"""Where the lips of a still portrait are: the frame of the mouth and the inner edges of both lips.

Works on the redness (a* of CIE Lab) of an upright patch around the mouth corners: lips are redder than the skin,
teeth and the dark of the mouth are less red than lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import minimize

from avsep.errors import InputError

PATCH_UNIT = 100
"""Pixels of the patch per half mouth width."""

KNOTS = np.linspace(-1, 1, 65)
"""Positions across the mouth, corner to corner, at which the edges of the lips are known."""

_MIN_EYE_DISTANCE = 12.0
_OPEN_CONTRAST = 0.35
_SMALLEST_GAP = 0.17


@dataclass(frozen=True, eq=False)
class Lips:
    """Lips in the frame of the mouth, whose unit is half the mouth's width.

    centre: (2,) pixel position half-way between the corners; across: (2,) unit vector from the left corner to the
    right one; half_width in pixels. upper, lower: (65,) lower edge of the upper lip and upper edge of the lower lip at
    KNOTS, in half widths downwards from the line through the corners; equal where the mouth is closed.
    """

    centre: np.ndarray
    across: np.ndarray
    half_width: float
    upper: np.ndarray
    lower: np.ndarray

    @property
    def gap(self) -> float:
        """Largest opening in the picture, in half widths."""
        return float((self.lower - self.upper).max())


def find_landmarks(picture: np.ndarray, name: str = "the picture") -> np.ndarray:
    """(5, 2) eyes, nose and mouth corners of the largest face of an RGB picture (height, width, 3) uint8.

    Raises InputError when there is no face.
    """
    from facenet_pytorch import MTCNN

    boxes, _, landmarks = MTCNN(keep_all=True, device="cpu").detect(np.ascontiguousarray(picture), landmarks=True)
    if boxes is None:
        height, width = picture.shape[:2]
        raise InputError(f"no face in {name} ({width}x{height}): use a frontal portrait of one person")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.asarray(landmarks[int(areas.argmax())], dtype=np.float64)


def find_lips(picture: np.ndarray, landmarks: np.ndarray) -> Lips:
    """The lips of an RGB picture (height, width, 3) uint8 whose landmarks (5, 2) are known; open or closed.

    Raises InputError when the face is too small.
    """
    eyes = float(np.linalg.norm(landmarks[1] - landmarks[0]))
    if eyes < _MIN_EYE_DISTANCE:
        raise InputError(f"the face is too small: {eyes:.0f} pixels between the eyes, at least {_MIN_EYE_DISTANCE:.0f}")
    left, right = landmarks[3], landmarks[4]
    redness, light = _patch(picture, left, right)
    # The corners of an open mouth are red in hue but dark; they belong to its inside like the teeth.
    corners, upper, lower, contrast = _open_mouth(redness - 2.5 * np.clip(0.25 - light, 0, None))
    if contrast < _OPEN_CONTRAST or (lower - upper).max() < _SMALLEST_GAP:
        line = _closed_line(redness, light)
        corners = np.array([[-1.0, line(-1.0)], [1.0, line(1.0)]])
        straight = np.interp(KNOTS, [-1, 1], corners[:, 1])
        upper = lower = np.array([line(s) for s in KNOTS]) - straight
    half = np.linalg.norm(right - left) / 2
    across = (right - left) / (2 * half)
    down = np.array([-across[1], across[0]])
    placed = (left + right) / 2 + half * (corners[:, :1] * across + corners[:, 1:] * down)
    width = float(np.linalg.norm(placed[1] - placed[0]) / 2)
    scale = half / width
    return Lips(placed.mean(0), (placed[1] - placed[0]) / (2 * width), width, upper * scale, lower * scale)


def _patch(picture: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Redness and lightness, each about 0..1, of rows -1..1.2 and columns -1.5..1.5 half widths around the mouth."""
    half = np.linalg.norm(right - left) / 2
    across = (right - left) / (2 * half)
    x, y = np.meshgrid(np.arange(-150, 151) / PATCH_UNIT, np.arange(-100, 121) / PATCH_UNIT)
    centre = (left + right) / 2
    map_x = centre[0] + half * (x * across[0] - y * across[1])
    map_y = centre[1] + half * (x * across[1] + y * across[0])
    patch = cv2.remap(
        picture, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    lab = cv2.GaussianBlur(cv2.cvtColor(patch, cv2.COLOR_RGB2LAB), (0, 0), 2.5).astype(np.float32)
    middle = lab[50:190, 40:260]
    scaled = []
    for channel in (1, 0):
        low, high = np.percentile(middle[..., channel], [2, 98])
        scaled.append((lab[..., channel] - low) / max(high - low, 4.0))
    return scaled[0], scaled[1]


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Patch values at positions in half widths."""
    map_x = (x * PATCH_UNIT + 150).astype(np.float32)[None]
    map_y = (y * PATCH_UNIT + 100).astype(np.float32)[None]
    return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]


def _open_mouth(lipness: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Best pair of arcs with lips outside and teeth inside: corners (2, 2), upper and lower (65,), contrast.

    contrast is the step of lipness across the worse of the two edges; small or negative for a closed mouth.
    """
    knots = KNOTS[10:-10]

    def arcs(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = p[0] + p[1] * knots
        base = p[2] + p[3] * knots
        bulge = (1 - knots**2) ** p[6]
        return x, base + p[4] * bulge, base + (p[4] + abs(p[5])) * bulge

    def steps(p: np.ndarray) -> tuple[float, float]:
        x, upper, lower = arcs(p)
        edge = 0.06
        top = _sample(lipness, x, upper - edge) - _sample(lipness, x, upper + edge)
        bottom = _sample(lipness, x, lower + edge) - _sample(lipness, x, lower - edge)
        return float(top.mean()), float(bottom.mean())

    def cost(p: np.ndarray) -> float:
        # Beside both steps the worse one counts again, so that one strong edge alone does not win; corners stay near.
        top, bottom = steps(p)
        far = max(0.0, abs(p[0]) - 0.15) + max(0.0, abs(p[1] - 0.9) - 0.15) + max(0.0, 0.14 - abs(p[5]))
        far += max(0.0, 0.45 - p[6]) + max(0.0, p[6] - 1.2)
        return -(top + bottom + 2 * min(top, bottom)) * (0.6 + 0.4 * p[1]) + 10 * far

    starts = [
        np.array([0, 0.9, y, 0, bow, gap, 0.9]) for y in (-0.1, 0.1) for bow in (0.0, 0.15) for gap in (0.2, 0.35, 0.5)
    ]
    fits = [minimize(cost, s, method="Nelder-Mead", options={"maxiter": 700, "xatol": 1e-3}) for s in starts]
    p = min(fits, key=lambda fit: fit.fun).x
    corners = np.array([[p[0] - p[1], p[2] - p[3]], [p[0] + p[1], p[2] + p[3]]])
    bulge = (1 - KNOTS**2) ** p[6]
    return corners, p[4] * bulge, (p[4] + abs(p[5])) * bulge, min(steps(p))


def _closed_line(redness: np.ndarray, light: np.ndarray) -> np.polynomial.Polynomial:
    """The line between closed lips as a function of the position across: the darkest and reddest path."""
    rows = np.arange(65, 146)
    columns = np.arange(45, 256)
    away = ((rows - 100) / 60.0)[:, None] ** 2
    cost = (1.5 * light - 0.4 * redness)[rows][:, columns] + away
    total = cost[:, 0]
    back = np.zeros(cost.shape, dtype=np.int64)
    step = 0.08 * np.abs(rows[:, None] - rows[None, :])
    step[step > 0.25] = np.inf
    for column in range(1, cost.shape[1]):
        options = total[None, :] + step
        back[:, column] = options.argmin(1)
        total = options.min(1) + cost[:, column]
    path = np.empty(cost.shape[1], dtype=np.int64)
    path[-1] = total.argmin()
    for column in range(cost.shape[1] - 1, 0, -1):
        path[column - 1] = back[path[column], column]
    x, y = (columns - 150) / PATCH_UNIT, (rows[path] - 100) / PATCH_UNIT
    return np.polynomial.Polynomial.fit(x, y, 5)
