import string

from rich.cells import cell_len

from diffbev_tui.i18n import WORDS, set_language, tr, words_of

AREAS = sorted(path.stem for path in WORDS.glob("*.toml"))
ALL = [(area, name) for area in AREAS for name in words_of(area)]
AMBIGUOUS = "…“”·×"  # one cell here, two on a Chinese terminal


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_words_are_complete_in_both_languages():
    assert len(ALL) > 400
    for area, name in ALL:
        words = words_of(area)[name]
        assert set(words) == {"en", "zh"}, f"{area}.{name}"
        assert all(words.values()), f"{area}.{name}"
        assert _names(words["en"]) == _names(words["zh"]), f"{area}.{name}"
        assert not set(words["zh"]) & set(AMBIGUOUS), f"{area}.{name}"


def test_the_names_of_screens_leave_room_for_each_other_at_80_columns():
    panes = [
        words for name, words in words_of("app").items() if name.startswith("pane_") and "welcome" not in name
    ]
    for language in ("en", "zh"):
        assert sum(cell_len(words[language]) + 4 for words in panes) <= 78


def test_the_language_is_chosen_at_run_time():
    set_language("zh")
    assert tr("app.yes") == "是"
    set_language("en")
    assert tr("app.yes") == "Yes"
