"""What the doctor finds has a word, a sentence and a code."""

from stylewatch_daemon.doctor.finding import exit_code, mend, note, ok


def test_the_first_thing_to_be_mended_says_how_it_ends() -> None:
    assert exit_code([]) == exit_code([ok("a", "fine"), note("b", "slow")]) == 0
    assert exit_code([ok("a", "fine"), mend("b", "gone", 69), mend("c", "full", 73)]) == 69
