"""The walls of buildings: window grids, doors, shops, weathering; which windows are lit at night."""

from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.solids import Material
from diffbev_engine.synth.surface import GLASS, Surface, put, speckle

_LIT_SHARE = 0.3  # of the windows, at night


@dataclass(frozen=True)
class _Grid:
    """Windows of a kind of building; every building varies it a little."""

    spacing: float
    """Metres from window to window."""
    pane: tuple[float, float]
    """From where to where a window reaches, as shares of the spacing."""
    ledge: float
    """Share of the storey's height below the windows."""
    top: float
    """Share of the storey's height up to the windows' upper edge."""


_GRIDS = {
    Material.HOUSE: _Grid(2.8, (0.3, 0.7), 0.28, 0.72),
    Material.BRICKS: _Grid(3.2, (0.2, 0.8), 0.25, 0.75),
    Material.OFFICE: _Grid(1.6, (0.06, 0.94), 0.16, 0.9),
}


def lit_windows(material: Material, surface: Surface) -> np.ndarray | None:
    """Return how bright (N,) a wall's windows shine at night, 0 to 1; None for what is no wall."""
    if material not in _GRIDS:
        return None
    glass, chance = _windows(surface, _GRIDS[material])
    return glass * (chance < _LIT_SHARE) * (0.35 + 2.0 * chance)


def house(surface: Surface) -> np.ndarray:
    """Return the colours (N, 3) of plaster with single windows and doors."""
    colour = _wall(surface, _GRIDS[Material.HOUSE])
    door = surface.upright & (np.abs(np.mod(surface.along_wall, 8.4) - 0.55) < 0.5)
    return put(colour, door & (surface.point[:, 2] < 2.1), np.array([0.15, 0.2, 0.3]))


def bricks(surface: Surface) -> np.ndarray:
    """Return the colours (N, 3) of a brick block with shops under awnings."""
    colour = _wall(surface, _GRIDS[Material.BRICKS])
    shop = surface.upright & (surface.point[:, 2] > 0.4) & (surface.point[:, 2] < 2.7)
    shop &= np.mod(surface.along_wall, 4.8) > 0.6
    awning = surface.upright & (surface.point[:, 2] > 2.8) & (surface.point[:, 2] < 3.3)
    sign = np.stack([0.2 + 0.6 * surface.brand, 0.5 - 0.3 * surface.brand, 0.75 - 0.5 * surface.brand], -1)
    return np.where(awning[:, None], sign, put(colour, shop, 1.5 * GLASS))


def office(surface: Surface) -> np.ndarray:
    """Return the colours (N, 3) of a wall that is mostly glass."""
    return _wall(surface, _GRIDS[Material.OFFICE])


def _windows(surface: Surface, grid: _Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return where the glass is (N,) and a number in 0..1 (N,) that every window keeps."""
    spacing = grid.spacing * (0.8 + 0.6 * surface.brand)
    storey = 2.9 + 0.8 * np.mod(7.0 * surface.brand, 1.0)
    column, row = surface.along_wall / spacing, surface.point[:, 2] / storey
    across, up = column - np.floor(column), row - np.floor(row)
    glass = surface.upright & (across > grid.pane[0]) & (across < grid.pane[1])
    glass &= (up > grid.ledge) & (up < grid.top) & (surface.point[:, 2] < surface.high[:, 2] - 0.8)
    return glass, speckle(np.stack([np.floor(column), np.floor(row), 97.0 * surface.brand], -1), 1.0)


def _wall(surface: Surface, grid: _Grid) -> np.ndarray:
    glass, chance = _windows(surface, grid)
    tone = GLASS[None] * (0.8 + 1.6 * chance)[:, None]
    tone = tone + np.array([0.1, 0.06, 0.03]) * (chance > 0.6)[:, None]
    # Stains of two sizes, and soot and damp towards the ground.
    stain = 0.87 + 0.12 * speckle(surface.point, 0.8) + 0.1 * speckle(surface.point + 3.1, 3.7)
    stain = stain * (0.8 + 0.2 * np.minimum(surface.point[:, 2] / 1.5, 1.0))
    return np.where(glass[:, None], tone, surface.colour * stain[:, None])
