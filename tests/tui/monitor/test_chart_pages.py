from diffbev_tui.monitor.chart_pages import FIRST_METRICS, ChartPages


def test_the_usual_metrics_that_have_values_are_shown():
    pages = ChartPages()
    assert pages.metrics == FIRST_METRICS
    assert pages.know({"loss", "Lwce", "mIoU", "lr"})
    assert pages.metrics == ("loss", "mIoU", "Lwce", "lr")
    assert not pages.know({"loss", "Lwce", "mIoU", "lr", "IoU/car"})


def test_the_grid_fits_the_room():
    pages = ChartPages()
    for room, grid in (((80, 12), (1, 1)), ((80, 40), (1, 2)), ((140, 12), (2, 1)), ((140, 34), (2, 2))):
        pages.fit(*room)
        assert pages.grid == grid
        assert len(pages.on_page) == grid[0] * grid[1]


def test_pages_turn_round_and_survive_a_larger_grid():
    pages = ChartPages()
    pages.fit(80, 12)
    pages.turn(-1)
    assert (pages.page, pages.on_page) == (5, ("lr",))
    pages.fit(140, 34)
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
