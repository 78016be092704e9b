"""What users do, by subject; each deed draws its details from the random numbers that it gets."""

from collections.abc import Callable, Iterator
from random import Random

Script = Iterator[float]
"""A deed in several steps: yields the seconds until the next one."""

Do = Callable[[str, Random], Script]
"""Does the deed with a name."""
