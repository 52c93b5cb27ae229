"""One sample: what the camera saw, what is there, and what models say, side by side."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Container, Horizontal, Vertical
from textual.geometry import Size
from textual.widgets import Static

from diffbev_engine.core.format import points
from diffbev_tui.classes.samples import Part, Sample
from diffbev_tui.i18n import tr
from diffbev_tui.widgets.image_cache import arrange
from diffbev_tui.widgets.picture import drawn, load_picture

if TYPE_CHECKING:
    from PIL.Image import Image

_CAPTION = 2
"""Rows above each picture."""


@dataclass(frozen=True)
class LoadedSample:
    """A sample with the pixels of its parts; none where the file could not be read."""

    sample: Sample
    images: "tuple[Image, ...]"
    trouble: str = ""


def load_sample(sample: Sample) -> LoadedSample:
    """Read the pixels; to be called from a thread."""
    try:
        whole = load_picture(sample.path)
    except (OSError, ValueError, SyntaxError) as error:
        return LoadedSample(sample, (), str(error))
    width, height = whole.size
    boxes = [
        (
            round(part.box[0] * width),
            round(part.box[1] * height),
            round(part.box[2] * width),
            round(part.box[3] * height),
        )
        for part in sample.parts
    ]
    return LoadedSample(sample, tuple(whole.crop(box) for box in boxes))


class SampleView(Container):
    """Pictures as large as the room that they have, each under its own words."""

    _shown: object = None

    async def show(self, loaded: LoadedSample, graphics: str) -> None:
        """Show a sample by one of ``GRAPHICS``, unless it is shown this large in this language already."""
        size = self.content_size
        key = (loaded.sample, size, tr("classes.part_truth"))
        if key == self._shown or not size.area:
            return
        self._shown = key
        with self.app.batch_update():
            await self.remove_children()
            if loaded.trouble:
                await self.mount(Static(tr("classes.unreadable", why=loaded.trouble), markup=False))
            else:
                await self.mount(*self._rows(loaded, size, graphics))

    def _rows(self, loaded: LoadedSample, size: Size, graphics: str) -> list[Horizontal]:
        sample = loaded.sample
        places = arrange([sample.ratio(part) for part in sample.parts], size.width, size.height, _CAPTION)
        rows: dict[int, list[Vertical]] = {}
        for part, image, place in zip(sample.parts, loaded.images, places, strict=True):
            caption = Static(caption_of(part), classes="caption")
            box = Vertical(caption, drawn(image, place.columns, place.rows, graphics), classes="part")
            box.styles.width, box.styles.height = place.columns, place.rows + _CAPTION
            rows.setdefault(place.row, []).append(box)
        return [Horizontal(*boxes, classes="parts") for boxes in rows.values()]


def caption_of(part: Part) -> Text:
    """What a part shows; the second line is its score."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if part.kind == "spread":
        text.append(part.name, "bold")
        return text.append(f"\n{tr('classes.part_spread', count=part.samples)}", "dim")
    if part.kind != "prediction":
        return text.append(tr(f"classes.part_{part.kind}"), "bold")
    text.append(part.name, "bold")
    text.append(f" @ {part.iteration:,}\n" if part.iteration is not None else "\n", "dim")
    score = points(part.miou)
    text.append(f"mIoU {score}")
    return text.append(f" {tr('classes.over', count=part.classes)}", "dim") if part.classes else text
