"""The page's many small files as few large ones, made when static files are collected.

The page is written as some 60 ES modules and a handful of style sheets. Each would be a
request, and `make run` speaks HTTP/1.1: six at a time. To have fewer, people would have
to install a bundler and to run it; so this is a linker of a hundred lines: each module
becomes a function that is called once, after those that it imports. What is imported
when it is needed, by `import("…")`, comes in a second file, which is given what it
shares with the first. With DEBUG nothing of this happens, and the browser gets the
files as they were written.

It need not know much of JavaScript, since the linter holds our modules to one form:
imports and exports begin a line, nothing is exported by default, no module imports
itself by way of others. What it does not understand it refuses.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SCRIPT: Final = "chat/js/bundle.js"
LATE: Final = "chat/js/late.js"
MAIN: Final = "chat/js/main.js"
STYLE: Final = "chat/css/bundle.css"
STYLES: Final = tuple(
    f"chat/css/{name}.css"
    for name in (
        "tokens",
        "base",
        "layout",
        "sidebar",
        "transcript",
        "prose",
        "composer",
    )
)
VENDOR: Final = "chat/vendor/"  # others' modules stay as they are

Read = Callable[[str], str]  # the text of a static file, by its name

_IMPORT = re.compile(
    r'^import (?:(?P<what>[^"]*?) from )?"(?P<path>[^"]+)";\n', re.MULTILINE
)
_EXPORT_FROM = re.compile(
    r'^export (?P<what>\{[^}]*\}|\*) from "(?P<path>[^"]+)";\n', re.MULTILINE
)
_EXPORT_LIST = re.compile(r"^export \{(?P<names>[^}]*)\};\n", re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?P<rest>(?:class|const|function\*?|async function\*?) (?P<name>[\w$]+))",
    re.MULTILINE,
)
_DYNAMIC = re.compile(r'\bimport\("(?P<path>[^"]+)"\)')
_DOC = re.compile(r"^[ \t]*/\*\*(?:(?!\*/).)*\*/[ \t]*\n", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"^[ \t]*//.*\n|/\*\* @type .*?\*/ ?", re.MULTILINE)
_STYLE_COMMENT = re.compile(r"\s*/\*.*?\*/", re.DOTALL)
_LEFT = re.compile(r"^(?:import\b|export\b|await\b)", re.MULTILINE)


STATIC: Final = Path(__file__).parent.parent / "static"


def source(name: str) -> str:
    """The text of one of the site's own static files."""
    return (STATIC / name).read_text("utf-8")


class BundleError(Exception):
    """A module is written in a way that the linker does not know."""


@dataclass
class Bundle:
    """The modules that one entry needs, and those of others that they import."""

    read: Read
    first: Bundle | None = None  # what is there already when this one is needed
    modules: dict[str, str] = field(default_factory=dict)  # name → its function
    vendor: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)  # what is imported when needed
    shared: list[str] = field(default_factory=list)  # of the first one's modules
    _open: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Take a module in, after all that it imports."""
        if self.first and name in [*self.first.modules, *self.first.vendor]:
            if name not in self.shared:
                self.shared.append(name)
            return
        if name in self.modules or name in self.vendor:
            return
        if name.startswith(VENDOR):
            self.vendor.append(name)
            return
        if name in self._open:
            raise BundleError(f"{name} imports itself, by way of {self._open}.")
        self._open.append(name)
        self.modules[name] = self._function(name, _code(self.read(name)))
        self._open.remove(name)

    def _function(self, name: str, text: str) -> str:
        exports: dict[str, str] = {}  # outside → inside
        head: list[str] = []

        def imported(match: re.Match[str]) -> str:
            variable = self._variable(name, match["path"])
            if match["what"]:
                head.extend(_bindings(match["what"], variable))
            return ""

        def reexported(match: re.Match[str]) -> str:
            variable = self._variable(name, match["path"])
            if match["what"] == "*":
                exports[f"...{variable}"] = ""
            for inside, outside in _names(match["what"].strip("{}*"), " as "):
                exports[outside] = f"{variable}.{inside}"
            return ""

        def listed(match: re.Match[str]) -> str:
            exports.update({b: a for a, b in _names(match["names"], " as ")})
            return ""

        def exported(match: re.Match[str]) -> str:
            exports[match["name"]] = match["name"]
            return match["rest"]

        text = _IMPORT.sub(imported, text)
        text = _EXPORT_FROM.sub(reexported, text)
        text = _EXPORT_LIST.sub(listed, text)
        text = _EXPORT.sub(exported, text)
        text = _DYNAMIC.sub(lambda match: self._dynamic(name, match["path"]), text)
        if left := _LEFT.search(text):
            line = text[left.start() :].split("\n", 1)[0]
            raise BundleError(f"{name}: {line}")
        given = ", ".join(f"{a}: {b}" if b else a for a, b in exports.items())
        return f"{''.join(head)}{text}return {{ {given} }};\n"

    def _variable(self, name: str, path: str) -> str:
        """What holds the exports of the module at `path`, seen from `name`."""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        self.add(target)
        return _variable(target)

    def _dynamic(self, name: str, path: str) -> str:
        """A module that is fetched when it is needed."""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        if target.startswith(VENDOR):
            return f'import("{_relative(target)}")'
        if self.first:
            raise BundleError(f"{name} comes late itself, and so does {target}.")
        if target not in self.late:
            self.late.append(target)
        return f"_late().then((late) => late.{_variable(target)})"

    def text(self) -> str:
        """One module that does what the entry does."""
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from self._imports()
        if self.late:
            # A declaration, so that it is there from the first line on.
            given = ", ".join(map(_variable, late(self).shared))
            link = (
                f'import("{_relative(LATE)}").then(({{ link }}) => link({{ {given} }}))'
            )
            yield f"function _late() {{\nreturn {link};\n}}\n"
        yield from self._functions()

    def late_text(self) -> str:
        """What comes late: a module whose `link` makes its modules, once."""
        return "".join(late(self)._late_lines(self.late))  # noqa: SLF001  (one of us)

    def _late_lines(self, entries: list[str]) -> Iterator[str]:
        yield from self._imports()
        given = ", ".join(map(_variable, self.shared))
        yield f"let made;\nexport function link({{ {given} }}) {{\n"
        yield "if (made) return made;\n"
        yield from self._functions()
        yield f"made = {{ {', '.join(map(_variable, entries))} }};\nreturn made;\n}}\n"

    def _imports(self) -> Iterator[str]:
        for name in self.vendor:
            yield f'import * as {_variable(name)} from "{_relative(name)}";\n'

    def _functions(self) -> Iterator[str]:
        for name, body in self.modules.items():
            yield f"const {_variable(name)} = (() => {{\n{body}}})();\n"


def script(read: Read) -> Bundle:
    """The page's modules as one, but for those that come late."""
    bundle = Bundle(read)
    bundle.add(MAIN)
    return bundle


def late(first: Bundle) -> Bundle:
    """The modules that come when they are needed, without those of the first bundle."""
    bundle = Bundle(first.read, first)
    for name in first.late:
        bundle.add(name)
    return bundle


def style(read: Read) -> str:
    """The page's style sheets as one, in the order of the page."""
    return "\n".join(_STYLE_COMMENT.sub("", read(name)) for name in STYLES)


def _code(text: str) -> str:
    """A module without what is there for people alone."""
    return _COMMENT.sub("", _DOC.sub("", text))


def _variable(name: str) -> str:
    return "_" + re.sub(r"\W", "_", name.removeprefix("chat/").removesuffix(".js"))


def _relative(name: str) -> str:
    path = posixpath.relpath(name, posixpath.dirname(SCRIPT))
    return path if path.startswith(".") else f"./{path}"


def _bindings(what: str, variable: str) -> Iterator[str]:
    """`a, { b, c as d }`, `* as e`: what an import binds, as constants."""
    default, _, named = what.partition("{")
    default = default.strip().rstrip(",").strip()
    if default.startswith("* as "):
        yield f"const {default.removeprefix('* as ')} = {variable};\n"
    elif default:
        yield f"const {default} = {variable}.default;\n"
    pairs = [
        inside if inside == outside else f"{inside}: {outside}"
        for inside, outside in _names(named.rstrip(" }"), " as ")
    ]
    if pairs:
        yield f"const {{ {', '.join(pairs)} }} = {variable};\n"


def _names(listed: str, word: str) -> Iterator[tuple[str, str]]:
    """`b, c as d` as pairs: b and b, c and d."""
    for item in filter(None, (part.strip() for part in listed.split(","))):
        first, _, second = item.partition(word)
        yield first, second or first
