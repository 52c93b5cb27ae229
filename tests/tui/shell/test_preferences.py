from diffbev_tui.places import clip_file, keep_clip
from diffbev_tui.preferences import Preferences, read_preferences, write_preferences


def test_choices_are_remembered(tmp_path):
    chosen = Preferences(language="zh", theme='a "theme"', pace=2.0, smoothing=0.9, graphics="sixel")
    write_preferences(tmp_path / "new" / "settings.toml", chosen)
    assert read_preferences(tmp_path / "new" / "settings.toml") == chosen


def test_a_damaged_file_is_as_if_nothing_was_chosen(tmp_path):
    path = tmp_path / "settings.toml"
    for text in ("language = ", "pace = 77.0", "language = 3", "smoothing = 0.5", "graphics = 'x'", "\x00"):
        path.write_text(text)
        assert read_preferences(path) == Preferences()


def test_copied_text_is_kept_in_a_file():
    assert keep_clip("bash run.sh") == clip_file()
    assert clip_file().read_text() == "bash run.sh"
