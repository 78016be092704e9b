"""The command that adds an extra to this installation, for messages about a missing one."""

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from shlex import join
from typing import Any
from urllib.parse import unquote, urlsplit

_NAME = "stylewatch"


def install_command(extra: str) -> str:
    """Return the shell command, in backticks, that adds `extra` to this installation.

    It is one for `uv tool`, pipx, `uv pip` or pip: the one that installed stylewatch.
    """
    build = _torch_build()
    if extra == "onnx" and build == "cpu":
        extra = "onnx-cpu"  # `onnx` brings the runtime for CUDA, which takes 300 MB more
    installer, origin = _provenance()
    prefix = Path(sys.prefix)
    # an editable install may have metadata older than its source
    package = _editable(origin, extra, "-e") or [f"{_NAME}[{extra}]"]
    if (receipt := prefix / "uv-receipt.toml").is_file():
        words = ["uv", "tool", "install", *_tool(receipt, origin, extra)]
        words += ["--torch-backend", build] if build else []
    elif (prefix / "pipx_metadata.json").is_file():
        # `pipx install --force` would install torch anew, and perhaps another build
        words = ["pipx", "runpip", prefix.name, "install", *package]
    elif installer == "uv":
        words = ["uv", "pip", "install", "--python", sys.executable, *package]
    else:
        words = [sys.executable, "-m", "pip", "install", *package]
    return f"`{join(words)}`"


def _provenance() -> tuple[str, dict[str, Any]]:
    """Return the installer of stylewatch, and its origin if that is no index (PEP 610)."""
    try:
        package = distribution(_NAME)
    except PackageNotFoundError:  # run from its source
        return "", {}
    origin = package.read_text("direct_url.json") or "{}"
    return (package.read_text("INSTALLER") or "").strip(), json.loads(origin)


def _tool(receipt: Path, origin: dict[str, Any], extra: str) -> list[str]:
    """Return arguments for `uv tool install`: all that it was given before, and `extra`.

    uv forgets the extras and further packages of a tool that a later command does not name.
    """
    import tomllib  # here, as every command imports this module

    tool = tomllib.loads(receipt.read_text("utf-8"))["tool"]
    own, *others = tool["requirements"]
    extras = ",".join(sorted({*own.get("extras", ()), extra}))
    words = _editable(origin, extras, "--editable")
    if not words:
        url = origin.get("url")
        if vcs := origin.get("vcs_info"):
            revision = vcs.get("requested_revision")
            url = f"{vcs['vcs']}+{url}" + (f"@{revision}" if revision else "")
        words = [f"{_NAME}[{extras}]" + (f" @ {url}" if url else own.get("specifier", ""))]
    for other in others:
        named = other["name"] + other.get("specifier", "")
        local = (other[key] for key in ("directory", "editable", "path") if key in other)
        words += ["--with", next(local, named)]
    return [*words, *(["--python", tool["python"]] if "python" in tool else [])]


def _editable(origin: dict[str, Any], extras: str, option: str) -> list[str]:
    """Return the arguments that install the checkout again; none if it is no editable install."""
    if not origin.get("dir_info", {}).get("editable"):
        return []
    return [option, f"{unquote(urlsplit(origin['url']).path)}[{extras}]"]


def _torch_build() -> str:
    """Return the build of torch as its version names it: cpu, cu130; empty where it does not."""
    try:
        return version("torch").partition("+")[2]
    except PackageNotFoundError:
        return ""
