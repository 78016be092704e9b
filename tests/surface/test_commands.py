"""A short form of `make surface SURFACE=commands`: each command and each condition once."""

from tests.surface.commands import (
    ARGUMENTS,
    CONDITIONS,
    OF_ACCOUNTS,
    cases,
    leaves,
    needs_arguments,
    no_root,
    skipped,
    try_all,
)

KNOWN = (
    ("submit", "root for a daemon"), ("pause", "root before a daemon"), ("show", "ascii"),
    ("recipes", "gone reader"), ("config show", "no account"), ("submit", "full disk"),
)  # fmt: skip
"""Cases in which there was a fault."""


def test_each_command_ends_with_its_code_and_our_words_wherever_it_is_started() -> None:
    names = len({name for name, _ in cases()})
    tried = {*cases()[:: names + 1], *KNOWN}
    assert {condition for _, condition in tried} == {*CONDITIONS, *OF_ACCOUNTS}
    found = [(*case, said) for case, said in try_all(sorted(tried)) if said]
    assert found == []
    assert no_root() or not any(map(skipped, tried))


def test_each_command_gets_the_arguments_that_it_needs() -> None:
    needing = {name for name, command in leaves() if needs_arguments(command)}
    assert needing <= ARGUMENTS.keys() <= {name for name, _ in leaves()}
