"""The lift-splat view transform (Philion and Fidler, ECCV 2020) in the camera frame, collapsed by columns.

Without extrinsics u depends on the feature column only and z on the depth bin only.  All the
features of one column at one depth therefore fall into the same BEV cell, and the feature row
decides nothing but whether the point is too high or too low.  So the sum over rows is a matrix
product and only D*W rows per image have to be scattered.  This is exact, not an approximation.

Dimension letters: B batch, D depth bins, H W feature rows and columns, C channels,
Z X BEV rows (row 0 nearest) and columns (column 0 leftmost), N = Z * X cells.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffbev_engine.core.grid import FEATURE_GRID, BEVGrid
from diffbev_engine.models.compiled import is_compiled
from diffbev_engine.models.depth import DepthTarget
from diffbev_engine.models.geometry import frustum
from diffbev_engine.models.settings import LiftSettings


class LiftOutput(NamedTuple):
    """What the view transform returns."""

    bev: Tensor
    """(B, C, Z, X) float32."""
    depth_logits: Tensor
    """(B, D, H, W)."""


class Columns(NamedTuple):
    """Where the columns of features fall, for one batch of cameras."""

    cells: Tensor
    """(B, D, W) int64 in [0, N): the BEV cell of feature column w at depth bin d."""
    inside: Tensor
    """(B, D, W) bool: False where the column is left or right of the grid."""
    level: Tensor
    """(B, D, H) bool: False where the feature row is too far above or below the optical axis."""


class LiftSplat(nn.Module):
    """Predict a depth distribution and context per feature, and sum both into a BEV grid.

    Args:
        in_channels: Channels of the image features.
        settings: Geometry and width.
        image_size: (height, width) of the images that the intrinsics belong to.
        stride: Pixels between neighbouring features.
        grid: BEV grid of the output.

    Attributes:
        portable: Sum without scattering, in operators that every runtime has; the same numbers.  Columns
            are then found in single precision.
    """

    u: Tensor
    v: Tensor
    depths: Tensor
    rows: Tensor

    def __init__(
        self,
        in_channels: int,
        settings: LiftSettings,
        image_size: tuple[int, int],
        stride: int,
        grid: BEVGrid = FEATURE_GRID,
    ) -> None:
        super().__init__()
        points = frustum(settings.mode, image_size, stride, grid)
        self.grid = grid
        self.portable = False
        self._fixed: Columns | None = None
        self.height_limit = settings.height_limit
        self.feature_size = points.feature_size
        self.num_bins = len(points.depths)
        self.channels = settings.channels
        self.depth_net = nn.Conv2d(in_channels, self.num_bins + settings.channels, kernel_size=1)
        rows = ((points.depths - grid.z_min) / grid.cell).astype(int)  # all inside the grid
        # Double precision costs nothing for these few points and decides cells like the formula does.
        self._add_constant("u", torch.from_numpy(points.u))  # W
        self._add_constant("v", torch.from_numpy(points.v))  # H
        self._add_constant("depths", torch.from_numpy(points.depths))  # D
        self._add_constant("rows", torch.from_numpy(rows))  # D

    def forward(self, features: Tensor, intrinsics: Tensor, oracle: DepthTarget | None = None) -> LiftOutput:
        """Lift ``features`` (B, C_in, >= H, >= W) and splat them.

        Args:
            features: Image features; rows and columns beyond the frustum are cropped.
            intrinsics: (B, 3, 3) pixels, for the image size of the constructor; no skew.
            oracle: Where given, features with a LiDAR point are splatted at its depth.
        """
        rows, cols = self.feature_size
        if features.shape[-2] < rows or features.shape[-1] < cols:
            raise ValueError(
                f"the features are {tuple(features.shape[-2:])}, the lift needs {self.feature_size}: "
                "the backbone's stride is not the one that it reports"
            )
        outputs = self.depth_net(features[..., :rows, :cols])  # B x D+C x H x W
        depth_logits, context = outputs.split([self.num_bins, self.channels], dim=1)
        depth = depth_logits.float().softmax(dim=1)  # B x D x H x W
        if oracle is not None:
            true = torch.zeros_like(depth).scatter_(1, oracle.bins[:, None], 1.0)
            depth = torch.where(oracle.supervised[:, None], true, depth)
        return LiftOutput(self.splat(depth, context, intrinsics), depth_logits)

    def depth_mass(self, depth_logits: Tensor, intrinsics: Tensor) -> Tensor:
        """The splatted depth distribution: probability in each cell, (B, 1, Z, X) float32.

        Args:
            depth_logits: (B, D, H, W) as :meth:`forward` returns them.
            intrinsics: (B, 3, 3) pixels.
        """
        depth = depth_logits.float().softmax(dim=1)  # B x D x H x W
        return self.splat(depth, torch.ones_like(depth[:, :1]), intrinsics)

    def splat(self, depth: Tensor, context: Tensor, intrinsics: Tensor) -> Tensor:
        """Sum depth * context over all points of each cell, in float32.

        Args:
            depth: (B, D, H, W) weight of each depth bin.
            context: (B, C, H, W) feature vectors; ones with C = 1 give the mass of each cell.
            intrinsics: (B, 3, 3) pixels.

        Returns:
            (B, C, Z, X) float32.
        """
        columns = self._fixed or self.columns(intrinsics)
        if self.portable:  # without autocast, which is no operator
            return self._sum_by_products(depth.float(), context.float(), columns)
        # Rounding of 16-bit sums would grow with the number of points in a cell.
        with torch.autocast(depth.device.type, enabled=False):
            return self._sum_into_cells(depth.float(), context.float(), columns)

    def fix_camera(self, intrinsics: Tensor) -> None:
        """Find the columns of one camera (3, 3) once and for all; the intrinsics that come are ignored."""
        self._fixed = self.columns(intrinsics[None])

    def columns(self, intrinsics: Tensor) -> Columns:
        """Back-project the frustum: x = (u - cx) z / fx and y = (v - cy) z / fy, metres."""
        kind = torch.float32 if self.portable else torch.float64
        k = intrinsics.to(kind)[:, :, :, None, None]  # B x 3 x 3 x 1 x 1
        u, v, depths = self.u.to(kind), self.v.to(kind), self.depths.to(kind)[:, None]  # W, H, D x 1
        x = (u - k[:, 0, 2]) / k[:, 0, 0] * depths  # B x D x W
        y = (v - k[:, 1, 2]) / k[:, 1, 1] * depths  # B x D x H
        col = ((x - self.grid.x_min) / self.grid.cell).floor()  # B x D x W
        inside = (col >= 0) & (col < self.grid.cols)
        level = (y >= -self.height_limit) & (y < self.height_limit)
        # Columns outside carry zeros; clamping spreads them along the border of their row.
        cells = self.rows[:, None] * self.grid.cols + col.clamp(0, self.grid.cols - 1).long()
        return Columns(cells, inside, level)

    def _sum_into_cells(self, depth: Tensor, context: Tensor, columns: Columns) -> Tensor:
        batch, channels = context.shape[:2]
        num_cells = self.grid.rows * self.grid.cols
        visible = columns.level[:, :, :, None] & columns.inside[:, :, None, :]  # B x D x H x W
        weights = (depth * visible).permute(0, 3, 1, 2)  # B x W x D x H
        columns_BWDC = weights @ context.permute(0, 3, 2, 1)  # sums over H: B x W x D x C
        first_cell = num_cells * torch.arange(batch, device=depth.device)  # B
        cells = columns.cells.transpose(1, 2) + first_cell[:, None, None]  # B x W x D
        bev = columns_BWDC.new_zeros(batch * num_cells, channels)
        bev = bev.index_add(0, cells.flatten(), columns_BWDC.flatten(0, 2))  # BN x C
        bev = bev.view(batch, self.grid.rows, self.grid.cols, channels)  # B x Z x X x C
        bev = bev.permute(0, 3, 1, 2)  # B x C x Z x X
        # PyTorch's group norm in the head is slow on tensors with channels innermost.
        return bev if is_compiled(bev) else bev.contiguous()

    def _sum_by_products(self, depth: Tensor, context: Tensor, columns: Columns) -> Tensor:
        """The same sum: at each depth a matrix of zeros and ones takes feature columns to BEV columns."""
        visible = columns.level[:, :, :, None] & columns.inside[:, :, None, :]  # B x D x H x W
        weights = (depth * visible).permute(0, 3, 1, 2)  # B x W x D x H
        columns_BWDC = weights @ context.permute(0, 3, 2, 1)  # sums over H: B x W x D x C
        col = columns.cells - self.rows[:, None] * self.grid.cols  # B x D x W
        falls = (col[..., None] == torch.arange(self.grid.cols, device=col.device)).float()  # B x D x W x X
        lines = columns_BWDC.permute(0, 2, 3, 1) @ falls  # B x D x C x X
        # A row of the grid has at most one depth bin; the others take the line of zeros behind the last.
        depth_of_row = self.rows.new_full((self.grid.rows,), self.num_bins)  # Z
        depth_of_row[self.rows] = torch.arange(self.num_bins, device=self.rows.device)
        lines = torch.cat([lines, torch.zeros_like(lines[:, :1])], dim=1)
        return lines[:, depth_of_row].transpose(1, 2).contiguous()  # B x C x Z x X

    def _add_constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)
