"""The bird's-eye-view grid, in the camera frame (x right, y down, z forward).

Row 0 is nearest to the camera and column 0 is leftmost.  Cell (i, j) is named by its
near left corner: x = x_min + j * cell, z = z_min + i * cell, in metres.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BEVGrid:
    """Extent in metres and cell size of a BEV grid in the camera frame."""

    x_min: float = -25.0
    x_max: float = 25.0
    z_min: float = 1.0
    z_max: float = 50.0
    cell: float = 0.25

    @property
    def rows(self) -> int:
        """Number of rows (z, near to far)."""
        return round((self.z_max - self.z_min) / self.cell)

    @property
    def cols(self) -> int:
        """Number of columns (x, left to right)."""
        return round((self.x_max - self.x_min) / self.cell)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.rows, self.cols

    def corners_x(self) -> np.ndarray:
        """Left edge of each column, metres; shape (cols,)."""
        return self.x_min + self.cell * np.arange(self.cols)

    def corners_z(self) -> np.ndarray:
        """Near edge of each row, metres; shape (rows,)."""
        return self.z_min + self.cell * np.arange(self.rows)


LABEL_GRID = BEVGrid(cell=0.25)
"""Labels and logits: 196 x 200."""

FEATURE_GRID = BEVGrid(cell=0.5)
"""BEV features after the splat: 98 x 100."""
