"""The library of styles, which users change, and whose styles visitors of the page try."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulate import wiring
from tests.simulate.account import Account
from tests.simulate.contents import Content
from tests.simulate.deeds import Script
from tests.simulate.deeds.files import Files
from tests.simulate.laws import ViolationError

if TYPE_CHECKING:
    from tests.simulate.world import World

GIVEN_UP_AFTER = 5.0
"""Seconds after which the page gives up a try that the daemon has not begun."""

TRIED_WITHIN = 300.0
"""Seconds within which a photograph is shown in every style, while nothing disturbs it."""


class Library:
    """Users who change the library of styles, and those who try its styles."""

    def __init__(self, world: "World", account: Account, files: Files) -> None:
        self._world, self._account, self._files = world, account, files
        self._plain: Mapping[str, str] = {}
        """The style in a library that only visitors of the page use."""

    def start(self, random: Random) -> None:
        """Fill the library of styles."""
        settings = self._world.plan.settings
        Path(self._world.path("styles")).mkdir(parents=True, exist_ok=True)
        if settings.default_style:
            self._put_style("wave", self._files.new_picture(random))

    def _put_style(self, name: str, content: Content) -> None:
        """Write a style into the library, which jobs use from now on."""
        path = f"{self._world.path('styles')}/{name}.{content.kind}"
        self._files.save(path, content.data)
        self._account.untouchable[path] = content.data
        self._account.library[name] = content
        self._account.tokens_at.setdefault(path, set()).add(content.token)

    def change(self, random: Random) -> Script:
        """Add a style to a library in which pictures are painted, or remove one."""
        account, folder = self._account, self._world.path("styles")
        is_there = self._files.can_write(folder)
        if self._world.plan.settings.default_style != "all" or not is_there:
            return
        names = [name for name in account.library if name != "wave"]
        for drop in account.drops:
            if len(drop.files) < 3:
                account.tell("gets another library", *drop.files.values())
        with account.changing():
            if names and random.random() < 0.4:
                name = random.choice(names)
                content = account.library.pop(name)
                account.removed_styles.add(content.token)
                path = f"{folder}/{name}.{content.kind}"
                Path(path).unlink()
                del account.untouchable[path]
                self._world.note(f"user: removes the style {name} from the library")
            else:
                name = f"style{self._files.new_number()}"
                content = self._files.new_picture(random)
                self._put_style(name, content)
                self._world.note(f"user: adds the style {name} <{content.token}> to the library")
        yield 0.0

    # -- visitors of the page

    def try_styles(self, random: Random) -> Script:
        """See a photograph in every style, until the visitor goes, or only the window is closed."""
        styles = self._styles_to_try()
        if not (styles and self._world.daemon.is_first_start_over):
            return
        visit = wiring.Try(self._world, random.randbytes(16).hex())
        visit.ask(styles, "content.jpg")
        self._world.note(f"user: tries {len(styles)} styles")
        yield GIVEN_UP_AFTER
        if not visit.has_begun():
            return
        for _ in range(random.choice([1, 5, 30, 90])):
            yield 2.0
            previews = visit.beat()
            if previews is None:
                return
            if random.random() < 0.1:
                visit.ask(self._styles_to_try())
        if random.random() < 0.5:
            visit.end()

    def try_undisturbed(self) -> Script:
        """Try all styles while nothing disturbs it; raises ViolationError if one is not shown."""
        styles = self._styles_to_try()
        visit = wiring.Try(self._world, self._world.random.randbytes(16).hex())
        visit.ask(styles, "content.jpg")
        began, previews = self._world.times.now, None
        while self._world.times.now - began < TRIED_WITHIN:
            yield 2.0
            previews = visit.beat()
            if previews and all(each["done"] or each["reason"] for each in previews):
                break
        odd = {name for name, content in self._account.library.items() if content.is_odd}
        seen = {each["name"] for each in previews or () if each["done"]}
        if styles.keys() - odd != seen - odd:
            raise ViolationError(5, "a style is not shown", f"{previews}")

    def _styles_to_try(self) -> Mapping[str, str]:
        """Return the pictures of the library by name; it gets one if jobs do not use it."""
        folder = self._world.path("styles")
        if not self._account.library and not self._plain and self._files.can_write(folder):
            content = self._files.new_picture(Random(0))
            while content.is_odd:
                content = self._files.new_picture(Random(0))
            path = f"{folder}/plain.{content.kind}"
            self._files.save(path, content.data)
            self._account.untouchable[path] = content.data
            self._plain = {"plain": path}
        library = self._account.library.items()
        return {name: f"{folder}/{name}.{each.kind}" for name, each in library} or self._plain
