"""Mixtures made on the fly: item n is drawn from (seed, n) alone, so that the same seed gives the same mixtures on any
number of workers and ranks."""

from __future__ import annotations

import numpy as np
from torch.utils.data import Dataset

from avsep.data.item import Item
from avsep.data.recipe import Recipe


class Mixtures(Dataset):
    """Items of a recipe without end: item n, for any n from 0 on, is drawn from (seed, n).

    items: the length of the data set, where somebody asks for one (validation).
    """

    def __init__(self, recipe: Recipe, items: int = 1000, seed: int = 0) -> None:
        self.recipe, self.items, self.seed = recipe, items, seed
        recipe.prepare()

    @property
    def names(self) -> list[str]:
        """What the labels of items number."""
        return self.recipe.cast.names

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> Item:
        return self.recipe.make(np.random.default_rng((self.seed, index)), str(index))
