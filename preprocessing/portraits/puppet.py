"""A portrait that moves: lips parted, jaw lowered, eyes closed and head turned by smooth image warps.

All lengths inside are pixels of the framed picture; `eyes` is the distance between the eyes, the unit of the face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.portraits.motion import Motion
from preprocessing.portraits.outline import KNOTS, find_lips
from preprocessing.portraits.style import Style

FACE_HEIGHT = 2.55
"""Height of a detected face in eye distances."""

OPENING = 0.25
"""Distance of the lips at opening 1, in eye distances."""

_DARK = np.array([40.0, 17.0, 17.0])
_TONGUE = np.array([132.0, 66.0, 64.0])
_TEETH = np.array([216.0, 198.0, 176.0])
_EVEN_SKIN = 180.0


def frame_portrait(
    picture: np.ndarray, landmarks: np.ndarray, size: tuple[int, int], face: float | None = None, eye_line: float = 0.42
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and crop an RGB picture to size (width, height) around its face; returns picture and landmarks in it.

    face: wanted height of the face in pixels; it grows where the picture would not fill the frame. eye_line: height of
    the eyes as a share of the frame, as far as the picture reaches.
    """
    width, height = size
    eyes = float(np.linalg.norm(landmarks[1] - landmarks[0]))
    scale = (face or FACE_HEIGHT * eyes) / (FACE_HEIGHT * eyes)
    scale = max(scale, width / picture.shape[1], height / picture.shape[0])
    shape = (max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
    scaled = cv2.resize(picture, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4)
    placed = landmarks * scale
    middle = placed[:2].mean(0)
    left = int(np.clip(round(middle[0] - width / 2), 0, shape[0] - width))
    top = int(np.clip(round(middle[1] - height * eye_line), 0, shape[1] - height))
    return np.ascontiguousarray(scaled[top : top + height, left : left + width]), placed - [left, top]


@dataclass(frozen=True, eq=False)
class _Parting:
    """The parted lips at every pixel of the mouth's region, in pixels of its frame.

    gape: largest distance of the lips. source_x: place in the portrait across; place: the same in half widths, bulge:
    1 - place^2 (0 beyond the corners). upper, lower: edges of the lips in the portrait; seam: where they meet when
    closed; top, bottom: where the edges are now.
    """

    gape: float
    source_x: np.ndarray
    place: np.ndarray
    bulge: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    seam: np.ndarray
    top: np.ndarray
    bottom: np.ndarray


class Puppet:
    """One framed portrait ready to move.

    picture: (height, width, 3) uint8 RGB; landmarks: (5, 2) eyes, nose, mouth corners in its pixels.
    Raises InputError when the face is too small.
    """

    def __init__(self, picture: np.ndarray, landmarks: np.ndarray) -> None:
        self.picture = picture
        self.landmarks = np.asarray(landmarks, dtype=np.float64)
        self.eyes = float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))
        self.lips = find_lips(picture, self.landmarks)
        self._lay_out_mouth()
        self._lay_out_head()

    def render(self, motion: Motion, style: Style, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Pictures (height, width, 3) uint8 RGB, one a row of the motion."""
        film = _Film(self, style, rng)
        for row in range(len(motion)):
            picture = self.pose(motion.opening[row], motion.width[row], motion.lids[row], motion.head[row])
            yield film.develop(picture, float(motion.light[row]))

    def pose(self, opening: float, width: float, lids: float = 0.0, head: np.ndarray | None = None) -> np.ndarray:
        """One picture (height, width, 3) uint8 RGB; the arguments as in Motion."""
        picture = self.picture.copy()
        if lids > 0:
            for eye in self.landmarks[:2]:
                self._close_eye(picture, eye, float(lids))
        picture[self._box] = self._speak(picture, float(opening), float(width))
        return picture if head is None else self._move_head(picture, np.asarray(head, dtype=np.float64))

    # The mouth -------------------------------------------------------------------------------------------------

    def _lay_out_mouth(self) -> None:
        eyes, centre = self.eyes, self.lips.centre
        height, width = self.picture.shape[:2]
        left, right = (int(np.clip(centre[0] + d * eyes, 0, width)) for d in (-1.3, 1.3))
        top, bottom = (int(np.clip(centre[1] + d * eyes, 0, height)) for d in (-0.75, 1.6))
        self._box = (slice(top, bottom), slice(left, right))
        columns, rows = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
        across = self.lips.across
        dx, dy = columns - centre[0], rows - centre[1]
        self._x = dx * across[0] + dy * across[1]
        self._y = dy * across[0] - dx * across[1]
        skin = self.picture[self._box][np.abs(self._y) < 0.5 * eyes]
        self._brightness = float(np.clip(np.median(skin[:, 0]) / _EVEN_SKIN, 0.4, 1.2))
        # What of the jaw's motion reaches a place: all of it on the chin, none at the ears and down the neck.
        self._jaw = _ramp(np.abs(self._x), 0.95 * eyes, 0.25 * eyes) * _ramp(self._y, 1.35 * eyes, 0.68 * eyes)

    def _part_lips(self, opening: float, width: float) -> _Parting:
        eyes, lips, half, x, y = self.eyes, self.lips, self.lips.half_width, self._x, self._y
        # A smile is wider than a speaking mouth; bring it part of the way in.
        wanted = min(half, max(0.88 * half, 0.46 * eyes))
        wanted *= (1 + (0.10 if width > 0 else 0.2) * width) * (1 - 0.05 * opening)
        beside = np.maximum(np.abs(y - 0.1 * eyes) - 0.15 * eyes, 0) / (0.26 * eyes)
        near = np.exp(-((x / (1.25 * half)) ** 2) - beside**2)
        source_x = x * (1 + (half / wanted - 1) * 1.35 * near)
        place = source_x / half
        upper = half * np.interp(place, KNOTS, lips.upper)
        lower = half * np.interp(place, KNOTS, lips.lower)
        # A smile's bow is flattened part of the way, too.
        seam = (0.7 if lips.gap > 0 else 1.0) * (upper + 0.5 * (lower - upper))
        bulge = np.clip(1 - place**2, 0, None)
        gape = OPENING * eyes * opening
        top, bottom = seam - 0.2 * gape * bulge**0.9, seam + 0.8 * gape * bulge**0.65
        return _Parting(gape, source_x, place, bulge, upper, lower, seam, top, bottom)

    def _speak(self, picture: np.ndarray, opening: float, width: float) -> np.ndarray:
        """The region around the mouth with the lips parted."""
        eyes, half, y, gap_before = self.eyes, self.lips.half_width, self._y, self.lips.gap
        parting = self._part_lips(opening, width)
        top, bottom = parting.top, parting.bottom
        # Each lip moves as a whole; the motion fades towards the nose above and turns into the jaw's below. Teeth at
        # the edges of an open mouth stay out of the lips by a margin.
        margin = np.minimum(parting.bulge * 8, 1) * (0.045 * half if gap_before > 0 else 0.0)
        above = (parting.upper - margin - top) * _ramp(top - y, 0.42 * eyes, 0.08 * eyes)
        jaw = -0.8 * (0.8 * parting.gape - 0.45 * gap_before * half) * self._jaw
        stays_lip = _ramp(y - bottom, 0.42 * eyes, 0.12 * eyes)
        below = (parting.lower + margin - bottom) * stays_lip + jaw * (1 - stays_lip)
        shown = self._look_up(picture, parting.source_x, y + np.where(y < (top + bottom) / 2, above, below))

        soft = max(1.2, 0.014 * eyes)
        inside = np.clip((y - top) / soft + 0.5, 0, 1) * np.clip((bottom - y) / soft + 0.5, 0, 1)
        inside *= np.clip((bottom - top) / soft, 0, 1) * (np.abs(parting.place) < 1)
        if gap_before > 0:
            # Lips closed by the warp lack the dark line between them.
            line = np.exp(-(((y - parting.seam) / (0.011 * eyes + 0.4)) ** 2)) * np.minimum(parting.bulge * 3, 1)
            shown += (0.55 * line * (1 - inside))[..., None] * (_DARK * self._brightness - shown)
        if inside.any():
            shown += inside[..., None] * (self._interior(picture, parting) - shown)
        return np.clip(shown + 0.5, 0, 255).astype(np.uint8)

    def _look_up(self, picture: np.ndarray, source_x: np.ndarray, source_y: np.ndarray) -> np.ndarray:
        """Picture values as float32 at places in the frame of the mouth."""
        centre, across = self.lips.centre, self.lips.across
        map_x = (centre[0] + source_x * across[0] - source_y * across[1]).astype(np.float32)
        map_y = (centre[1] + source_x * across[1] + source_y * across[0]).astype(np.float32)
        shown = cv2.remap(picture, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return shown.astype(np.float32)

    def _interior(self, picture: np.ndarray, parting: _Parting) -> np.ndarray:
        """What is seen between the lips: the dark, the tongue, and the upper teeth, which do not move with the jaw."""
        eyes, y, place = self.eyes, self._y, parting.place
        colour = np.broadcast_to(_DARK * self._brightness, (*y.shape, 3)).copy()
        depth = parting.bottom - parting.top
        tongue = 0.75 * _ramp(parting.bottom - y, 0.5 * depth + 1e-3, 0.0) * np.clip(depth / (0.12 * eyes) - 0.4, 0, 1)
        colour += tongue[..., None] * (_TONGUE * self._brightness - colour)
        soft = max(1.0, 0.012 * eyes)
        if self.lips.gap > 0:
            teeth = np.clip((y - parting.upper) / soft + 1, 0, 1) * np.clip((parting.lower - y) / soft - 0.2, 0, 1)
            enamel = self._look_up(picture, parting.source_x, y)
        else:
            edge = parting.seam + 0.042 * eyes * np.sqrt(np.clip(1 - (place / 0.85) ** 2, 0, None))
            gaps = 1 - 0.14 * np.exp(-(((np.mod(place / 0.19, 1) - 0.5) / 0.12) ** 2))
            teeth = 0.8 * np.clip((edge - y) / soft + 0.5, 0, 1) * np.clip(1 - np.abs(place / 0.85) ** 3, 0, 1)
            enamel = (_TEETH * self._brightness) * (gaps * (1 - 0.45 * place**2))[..., None]
        colour += teeth[..., None] * (enamel - colour)
        # The upper lip throws a shadow on what is behind it.
        shade = 0.45 + 0.55 * (1 - _ramp(y - parting.top, 0.07 * eyes, 0.0))
        return colour * shade[..., None]

    # The eyes --------------------------------------------------------------------------------------------------

    def _close_eye(self, picture: np.ndarray, eye: np.ndarray, closed: float) -> None:
        """Draw a lid over the eye, of the skin below it; in place."""
        eyes, across = self.eyes, self.lips.across
        reach = int(0.4 * eyes)
        left, top = np.maximum(eye.astype(int) - reach, 0)
        box = (slice(top, top + 2 * reach), slice(left, left + 2 * reach))
        region = picture[box].astype(np.float32)
        columns, rows = np.meshgrid(np.arange(region.shape[1]) + left, np.arange(region.shape[0]) + top)
        dx, dy = columns - eye[0], rows - eye[1]
        x, y = dx * across[0] + dy * across[1], dy * across[0] - dx * across[1]
        lens = np.clip(1 - (x / (0.31 * eyes)) ** 2, 0, None)
        upper, lower = -0.15 * eyes * lens, 0.075 * eyes * lens
        edge = upper + closed * (lower - upper)
        soft = max(1.2, 0.02 * eyes)
        lid = (
            np.clip((y - upper) / (0.07 * eyes), 0, 1)
            * np.clip((edge - y) / soft + 0.5, 0, 1)
            * np.clip(lens * 3 - 0.2, 0, 1)
        )
        mirrored = lower + 0.6 * (lower - y) + 0.06 * eyes
        map_x = (eye[0] + x * across[0] - mirrored * across[1]).astype(np.float32)
        map_y = (eye[1] + x * across[1] + mirrored * across[0]).astype(np.float32)
        skin = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        skin = (
            cv2.GaussianBlur(skin, (0, 0), max(0.8, 0.03 * eyes))
            * (0.84 + 0.12 * _ramp(np.abs(x), 0.3 * eyes, 0.0))[..., None]
        )
        region += lid[..., None] * (skin - region)
        lash = (
            0.5
            * np.exp(-(((y - edge) / (0.014 * eyes + 0.4)) ** 2))
            * np.clip(lens * 2 - 0.7, 0, 1)
            * min(1.0, closed * 2)
        )
        region *= 1 - lash[..., None]
        picture[box] = np.clip(region + 0.5, 0, 255).astype(np.uint8)

    # The head --------------------------------------------------------------------------------------------------

    def _lay_out_head(self) -> None:
        height, width = self.picture.shape[:2]
        eyes, mouth = self.eyes, self.lips.centre
        middle = self.landmarks[:2].mean(0)
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        x, y = columns - middle[0], rows - middle[1]
        self._columns, self._rows = columns, rows
        distance = np.hypot(x / 1.7, y / np.where(y < 0, 2.1, 1.9)) / eyes
        self.matte = _ramp(distance, 1.8, 0.95).astype(np.float32)
        self._depth = np.exp(-((x / (0.95 * eyes)) ** 2) - ((y - 0.5 * eyes) / (1.3 * eyes)) ** 2).astype(np.float32)
        self._neck = mouth + np.array([0, eyes])

    def _move_head(self, picture: np.ndarray, head: np.ndarray) -> np.ndarray:
        right, down, roll, turn = head
        shift_x = right * self.eyes - roll * (self._rows - self._neck[1]) + turn * self.eyes * self._depth
        shift_y = down * self.eyes + roll * (self._columns - self._neck[0])
        map_x = (self._columns - self.matte * shift_x).astype(np.float32)
        map_y = (self._rows - self.matte * shift_y).astype(np.float32)
        return cv2.remap(picture, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


class _Film:
    """What the camera adds: background, colours, flicker, blur and noise."""

    def __init__(self, puppet: Puppet, style: Style, rng: np.random.Generator) -> None:
        self._style, self._rng = style, rng
        plain = rng.uniform(20, 230, 3).astype(np.float32)
        self._behind = (1 - puppet.matte)[..., None] * style.background
        self._plain = self._behind * plain
        self._warmth = np.array([style.warmth, 1.0, 1 / style.warmth], dtype=np.float32)

    def develop(self, picture: np.ndarray, light: float) -> np.ndarray:
        style = self._style
        exposed = picture.astype(np.float32)
        if style.background:
            exposed = exposed * (1 - self._behind) + self._plain
        exposed = ((exposed - 120) * style.contrast + 120) * (self._warmth * (style.brightness * light))
        if style.blur:
            exposed = np.asarray(cv2.GaussianBlur(exposed, (0, 0), style.blur), dtype=np.float32)
        if style.noise:
            exposed += style.noise * self._rng.standard_normal(exposed.shape[:2], dtype=np.float32)[..., None]
        return np.clip(exposed + 0.5, 0, 255).astype(np.uint8)


def _ramp(value: np.ndarray, none: float | np.ndarray, full: float | np.ndarray) -> np.ndarray:
    """1 up to `full`, 0 from `none` on, a smooth step between."""
    t = np.clip((none - value) / (none - full), 0, 1)
    return t * t * (3 - 2 * t)
