"""The tree of errors."""

from stylewatch_export.errors import AskedError, ExportError, UnequalError


def test_every_error_is_of_the_one_tree() -> None:
    assert issubclass(AskedError, ExportError) and issubclass(UnequalError, ExportError)


def test_what_makes_no_graph_is_a_wrong_value() -> None:
    assert issubclass(AskedError, ValueError)
