from rich.text import Text
from textual.app import App

from diffbev_tui.widgets.line import Line


class Counted(Line):
    updates = 0

    def update(self, *arguments, **options):
        self.updates += 1
        super().update(*arguments, **options)


class OneLine(App[None]):
    def compose(self):
        yield Counted()


async def test_a_line_is_repainted_only_for_other_words_or_styles():
    async with OneLine().run_test() as pilot:
        line = pilot.app.query_one(Counted)
        for count, text in enumerate((Text("a"), Text("b"), Text.assemble(("b", "bold"))), start=1):
            line.put(text)
            line.put(text.copy())
            assert line.updates == count
