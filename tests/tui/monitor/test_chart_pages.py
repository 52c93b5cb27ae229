from diffbev_tui.monitor.chart_pages import FIRST_METRICS, ChartPages


def test_the_usual_metrics_that_have_values_are_shown():
    pages = ChartPages()
    assert pages.metrics == FIRST_METRICS[:6]
    assert pages.know({"loss", "Lwce", "mIoU", "lr"})
    assert pages.metrics == ("loss", "mIoU", "Lwce", "lr")
    assert not pages.know({"loss", "Lwce", "mIoU", "lr", "IoU/car"})


def test_the_grid_fits_the_room():
    pages = ChartPages()
    pages.know(FIRST_METRICS)
    rooms = {(20, 5): (1, 1), (80, 16): (1, 2), (100, 21): (2, 2), (140, 12): (2, 1), (200, 50): (3, 3)}
    for room, grid in rooms.items():
        pages.fit(*room)
        assert pages.grid == grid
        assert len(pages.on_page) == grid[0] * grid[1]


def test_the_grid_has_no_places_without_a_metric():
    pages = ChartPages()
    pages.know({"loss", "mIoU"})
    pages.fit(200, 50)
    assert pages.grid == (2, 1)


def test_where_methods_differ_the_common_loss_comes_first():
    pages = ChartPages()
    assert pages.know({"loss", "Lwce", "Ldiff", "mIoU"}, methods_differ=True)
    assert pages.metrics == ("Lwce", "mIoU", "loss", "Ldiff")


def test_pages_turn_round_and_survive_a_larger_grid():
    pages = ChartPages()
    pages.fit(80, 9)
    pages.turn(-1)
    assert (pages.page, pages.on_page) == (5, ("lr",))
    pages.fit(140, 16)
    assert (pages.page, pages.count, pages.on_page) == (1, 2, ("Lwce", "lr"))
    pages.turn(1)
    assert pages.page == 0


def test_one_chart_alone_and_back():
    pages = ChartPages()
    pages.maximised = "mIoU"
    pages.fit(140, 34)
    assert (pages.grid, pages.on_page, pages.count) == ((1, 1), ("mIoU",), 1)
    pages.choose(("IoU/car",))
    assert pages.on_page == ("IoU/car",)
