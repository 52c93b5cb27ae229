"""The network as other programs run it: pixels in, probabilities out, all else inside.

Dimension letters: B batch, C channels of what is denoised, D depth bins, h w feature rows and columns,
Z X BEV rows (row 0 nearest) and columns.
"""

from typing import Any

import torch
from torch import Tensor, nn

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.evaluate.counts import THRESHOLD
from diffbev_engine.models.draws import Draws
from diffbev_engine.models.model import BEVModel
from diffbev_engine.models.photometric import normalise


class Deployable(nn.Module):
    """Normalisation, network, denoising steps and sigmoid in one.

    Args:
        model: In evaluation mode, on the CPU, in single precision.
        steps: DDIM steps; of no meaning to a network without diffusion.
        intrinsics: (3, 3) float32 of the one camera that it shall be for; ``None``: of any, as an input.
    """

    intrinsics: Tensor | None

    def __init__(self, model: BEVModel, steps: int, intrinsics: Tensor | None) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("intrinsics", intrinsics, persistent=False)
        self.takes_noise = model.diffusion is not None and model.diffusion.draws_noise
        if model.diffusion is not None:
            model.diffusion.steps = steps

    def make_portable(self) -> None:
        """From now on compute the same in operators that every runtime has."""
        self.model.backbone.unfuse_attention()
        if self.intrinsics is not None:
            self.model.lift.fix_camera(self.intrinsics)
        self.model.lift.portable = True

    @property
    def input_names(self) -> list[str]:
        """Those of :meth:`forward` that this network takes."""
        return [
            "image",
            *(["intrinsics"] if self.intrinsics is None else []),
            *(["noise"] if self.takes_noise else []),
        ]

    def forward(
        self, image: Tensor, intrinsics: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict the map.

        Args:
            image: (B, 3, height, width) uint8 RGB, undistorted.
            intrinsics: (B, 3, 3) float32 pixels, for an image of that size.
            noise: (B, C, Z, X) float32, standard normal.

        Returns:
            ``probability`` (B, 14, 196, 200) and ``depth`` (B, D, h, w), the distribution over depth bins.
        """
        model = self.model
        images = normalise(image, model.pixel_mean, model.pixel_std)
        if self.intrinsics is not None:
            intrinsics = self.intrinsics.expand(image.shape[0], 3, 3)
        assert intrinsics is not None
        bev, depth_logits = model.encode(images, intrinsics)
        if model.diffusion is not None:
            start = images.new_zeros(image.shape[0], *model.diffusion.shape) if noise is None else noise
            mass = model.lift.depth_mass(depth_logits, intrinsics)
            bev = model.diffusion(bev, mass, Draws(start=start)).feature
        return model.head(bev).sigmoid(), depth_logits.softmax(dim=1)

    def example(self, batch: int, intrinsics: Tensor, seed: int) -> dict[str, Tensor]:
        """Inputs by name: smooth random pictures, the given camera (3, 3), noise."""
        generator = torch.Generator().manual_seed(seed)
        height, width = self.model.image_size
        coarse = torch.rand(batch, 3, 9, 12, generator=generator)
        smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        inputs = {
            "image": (255 * smooth).to(torch.uint8),
            "intrinsics": intrinsics.float().expand(batch, 3, 3).contiguous(),
        }
        if self.model.diffusion is not None:
            inputs["noise"] = torch.randn(batch, *self.model.diffusion.shape, generator=generator)
        return {name: inputs[name] for name in self.input_names}

    def about(self) -> dict[str, Any]:
        """What a program has to know to use the outputs."""
        grid, lift = LABEL_GRID, self.model.lift
        diffusion = self.model.diffusion
        return {
            "classes": list(CLASSES),
            "grid": {
                **{name: getattr(grid, name) for name in ("x_min", "x_max", "z_min", "z_max", "cell")},
                "frame": "camera: x to the right, z ahead, in metres; row 0 nearest, column 0 leftmost",
            },
            "image": "uint8 RGB, undistorted, resized to this size without cropping",
            "image_size": {"height": self.model.image_size[0], "width": self.model.image_size[1]},
            "threshold": THRESHOLD,
            "depth_bins_m": lift.depths.tolist(),
            "steps": diffusion.steps if diffusion is not None and diffusion.draws_noise else None,
            "inputs": self.input_names,
        }
