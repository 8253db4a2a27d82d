import pytest

from refseg.methods.curve import curve


@pytest.fixture
def drawn(tmp_path):
    figures = {
        "loss": [2.0, 1.0],
        "motion_right": [0.5, 0.75],
        "dev_J": [40.0, 60.0],
        "dev_best_threshold": [0.2, 0.3],
    }
    rows = [f"{10 * i},{name},{v}" for name, values in figures.items() for i, v in enumerate(values, 1)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["step,figure,value", *rows, "20,wall_seconds,9"]) + "\n")
    return curve(log)


def test_losses_are_drawn_above_and_shares_below_in_percent(drawn):
    above, below = ({line.get_label(): list(line.get_ydata()) for line in a.lines} for a in drawn.axes)
    assert above == {"loss": [2, 1]}
    assert below == {"motion_right": [50, 75], "dev_J": [40, 60], "dev_best_threshold": [20, 30]}
    assert all(list(line.get_xdata()) == [10, 20] for axes in drawn.axes for line in axes.lines)


def test_no_legend_hides_what_is_drawn_and_no_two_lines_look_alike(drawn):
    drawn.draw_without_rendering()
    for axes in drawn.axes:
        assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1
        assert len({line.get_color() for line in axes.lines}) == len(axes.lines)
