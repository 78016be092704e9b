"""Lets a failure in the conformance suite show the values that were compared."""

import pytest

pytest.register_assert_rewrite("stylewatch_plugins")
