"""Mouth crops with and without something before the mouth: what a network learns from that tells one from the other.

Shapes and surfaces are drawn at random (ellipses, boxes, bars side by side, a cloth from below; plain, shaded, rough,
striped, or a piece of a picture), so that nothing is learnt of one kind of microphone. Some lie beside the mouth.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from avsep.data.lip_augment import Blur, Brightness, Flip, Grain, LipAugment, Warp, apply
from avsep.faces.lips import EYE_DISTANCE, MOUTH_CENTRE, MOUTH_WIDTH
from avsep.signals import LIP_SIZE

BEFORE: tuple[LipAugment, ...] = (
    Flip(),
    Warp(degrees=12, scale=(0.8, 1.2), squeeze=(0.65, 1.15), shift=0.07, drift=0.0),
)
AFTER: tuple[LipAugment, ...] = (
    Brightness(gamma=(0.35, 2.5), contrast=(0.4, 1.4)),
    Blur(p=0.5, factor=(0.15, 0.8)),
    Grain(p=1.0, deviation=(0.0, 0.05)),
)
COVERED, FREE = 0.8, 0.25
"""Shares of the mouth's area from which it counts as covered, and below which as free; crops between are left out."""

_TICKS = np.stack(np.meshgrid(np.arange(LIP_SIZE), np.arange(LIP_SIZE)), axis=-1).astype(np.float64)
_PLACES = (_TICKS - MOUTH_CENTRE) / EYE_DISTANCE
_MOUTH = (_PLACES[..., 0] / (MOUTH_WIDTH / 2)) ** 2 + (_PLACES[..., 1] / 0.2) ** 2 < 1


def shape(rng: np.random.Generator) -> np.ndarray:
    """Where something lies before the face: (LIP_SIZE, LIP_SIZE) bool."""
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # One in three lies beside the mouth: a microphone below the chin hides nothing.
    away = rng.uniform(0.5, 1.2) if rng.random() < 0.33 else rng.uniform(0, 0.25)
    direction = rng.uniform(0, 2 * np.pi)
    moved = _PLACES - away * np.array([np.cos(direction), np.sin(direction)])
    x, y = np.moveaxis(moved @ turn, -1, 0)
    wide, high = rng.uniform(0.35, 1.1, 2)
    kind = rng.integers(5)
    if kind == 0:
        return (x / wide) ** 2 + (y / high) ** 2 < 1
    if kind == 1:
        return np.maximum(np.abs(x / wide), np.abs(y / high)) < 1
    if kind == 2:  # a ball on a stick
        return (np.linalg.norm(moved, axis=-1) < wide) | ((np.abs(x) < 0.3 * wide) & (y > 0))
    if kind == 3:  # bars side by side, as fingers
        width, bars = rng.uniform(0.2, 0.4), rng.integers(2, 6)
        ends = rng.uniform(0.4, 0.9) - 0.2 * rng.random(bars)
        number = np.floor(y / width + bars / 2).astype(int)
        inside = (number >= 0) & (number < bars)
        return inside & (x < ends[number.clip(0, bars - 1)])
    # A cloth, a cup, a collar from below.
    return moved[..., 1] > -0.45 + rng.uniform(0, 0.3) + rng.uniform(-0.3, 0.3) * _PLACES[..., 0]


def surface(crops: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """What something looks like: (LIP_SIZE, LIP_SIZE) float in 0..255. crops: pictures to take pieces of."""
    base = rng.uniform(0, 255)
    look = np.full((LIP_SIZE, LIP_SIZE), base)
    kind = rng.integers(5)
    if kind == 1:
        look = base + _PLACES @ rng.normal(0, 60, 2)
    elif kind == 2:
        look = base - rng.uniform(20, 120) * np.linalg.norm(_PLACES - rng.uniform(-0.4, 0.4, 2), axis=-1)
    elif kind == 3:
        look = base + rng.uniform(10, 70) * np.sin(_PLACES @ rng.normal(0, 25, 2))
    elif kind == 4:  # a piece of a picture: skin, hair, background
        crop = crops[int(rng.integers(len(crops)))]
        top, left = rng.integers(0, LIP_SIZE - 24, 2)
        if top in range(20, 64) and left in range(14, 60):
            top = rng.choice([0, LIP_SIZE - 24])
        piece = crop[top : top + 24, left : left + 24]
        look = cv2.resize(piece, (LIP_SIZE, LIP_SIZE), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    if rng.random() < 0.5:
        coarse = rng.normal(size=(rng.integers(3, 48),) * 2)
        look = look + rng.uniform(3, 30) * cv2.resize(coarse, (LIP_SIZE, LIP_SIZE), interpolation=cv2.INTER_LINEAR)
    return look.clip(0, 255)


def other_tones(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The face with lips lighter or darker than they are, now and then as a negative: lips are darker than a light skin
    and often lighter than a dark one, and few speakers of a corpus have the latter."""
    around = np.exp(-((_PLACES[..., 0] / (0.6 * MOUTH_WIDTH)) ** 2) - (_PLACES[..., 1] / rng.uniform(0.15, 0.3)) ** 2)
    toned = picture * (1 + rng.uniform(-0.4, 0.8) * around) if rng.random() < 0.5 else picture.astype(np.float64)
    toned = 255 - toned if rng.random() < 0.15 else toned
    return toned.clip(0, 255)


def example(crops: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """One crop (LIP_SIZE, LIP_SIZE) uint8 of those given, and whether its mouth is to be seen."""
    crop = crops[int(rng.integers(len(crops)))]
    visible = True
    picture = other_tones(apply(BEFORE, crop[None].copy(), rng)[0], rng)
    if rng.random() < 0.67:
        while True:
            inside = shape(rng)
            covered = inside[_MOUTH].mean()
            if covered >= COVERED or covered <= FREE:
                break
        visible = bool(covered <= FREE)
        edge = cv2.GaussianBlur(inside.astype(np.float64), (0, 0), rng.uniform(0.5, 2.0))
        picture = edge * surface(crops, rng) + (1 - edge) * picture
    return apply(AFTER, picture.astype(np.uint8)[None], rng)[0], visible


def batch(crops: Sequence[np.ndarray], size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """crops (size, LIP_SIZE, LIP_SIZE) in 0..1 and whether their mouths are to be seen (size,), 0 or 1."""
    made = [example(crops, rng) for _ in range(size)]
    pictures = torch.from_numpy(np.stack([picture for picture, _ in made])).float() / 255
    return pictures, torch.tensor([float(visible) for _, visible in made])
