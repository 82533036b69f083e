"""A piano roll shows each note at its pitch, for as long as it sounds, in the colour of its voice."""

from matplotlib.collections import LineCollection

from nounroll.report.piano_roll import piano_roll_picture


def test_each_note_is_a_line_in_the_colour_of_its_voice() -> None:
    pieces = [("real", [(0, 72, 0.0, 2.0), (3, 48, 1.0, 1.5)]), ("written", [])]
    figure = piano_roll_picture(pieces).figure
    first, second = figure.axes
    lines = [one for one in first.collections if isinstance(one, LineCollection)]
    drawn = [segment.tolist() for one in lines for segment in one.get_segments()]
    assert drawn == [[[0.0, 72.0], [2.0, 72.0]], [[1.0, 48.0], [1.5, 48.0]]]
    assert tuple(lines[0].get_color()[0]) != tuple(lines[1].get_color()[0])
    assert first.get_title(loc="left") == "real"
    assert second.get_title(loc="left") == "written: silence"
