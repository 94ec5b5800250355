"""Headers of Boost 1.83 or newer, which has boost::concurrent_flat_map: from a package of the Python registry.

Prints the include folder. They are downloaded once, into a folder that Git ignores.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

PACKAGE, VERSION = "cmeel-boost", "1.90.0"
HEADERS = "cmeel.prefix/include/"


def download(folder: pathlib.Path) -> pathlib.Path:
    """The package's file in `folder`."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    subprocess.run([*pip, "--no-deps", "--only-binary=:all:", f"--dest={folder}", f"{PACKAGE}=={VERSION}"], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def include_folder(cache: pathlib.Path) -> pathlib.Path:
    made = cache / f"boost-{VERSION}"
    if not made.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = pathlib.Path(name)
            with zipfile.ZipFile(download(folder)) as wheel:
                wheel.extractall(folder, [file for file in wheel.namelist() if file.startswith(HEADERS + "boost/")])
            shutil.move(folder / HEADERS, made)
    return made


if __name__ == "__main__":
    print(include_folder(pathlib.Path(sys.argv[1])).resolve())
