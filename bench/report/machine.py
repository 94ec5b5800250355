"""What the figures were measured on."""

import datetime
import os
import pathlib
import platform
import subprocess


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, check=True, text=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.partition("\n")[0].strip() or None


def _read(path: str) -> str | None:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _cpu_fields() -> dict[str, str]:
    lines = (_read("/proc/cpuinfo") or "").partition("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _cpu() -> str:
    fields = _cpu_fields()
    model = fields.get("model name", platform.machine())
    if "cpu family" in fields:
        model += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    virtual = ", virtual machine" if "hypervisor" in fields.get("flags", "").split() else ""
    return f"{model}, {len(os.sched_getaffinity(0))} cores{virtual}"


def _caches() -> str:
    caches = []
    for cache in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(str(cache / name)) for name in ("level", "type", "size"))
        if level and size and kind != "Instruction":
            kib = int(size.removesuffix("K"))
            caches.append(f"L{level} {kib} KiB" if kib < 2048 else f"L{level} {kib // 1024} MiB")
    return ", ".join(caches)


def _memory() -> str:
    kib = next((line.split()[1] for line in (_read("/proc/meminfo") or "").splitlines() if "MemTotal" in line), None)
    return f"{int(kib) / 2**20:.0f} GiB" if kib else ""


def _commit() -> str:
    commit = _first_line(["git", "rev-parse", "--short=12", "HEAD"])
    if not commit:
        return ""
    return commit + (" and changes" if _first_line(["git", "status", "--porcelain", "--untracked-files=no"]) else "")


def describe(build: str) -> dict[str, str]:
    """The machine and the build, name: text. `build` tells the compiler's flags."""
    facts = {
        "processor": _cpu(),
        "caches": _caches(),
        "memory": _memory(),
        "kernel": f"Linux {platform.release()}",
        "pages": f"{os.sysconf('SC_PAGE_SIZE') // 1024} KiB; huge pages for shared memory: "
        + (_read("/sys/kernel/mm/transparent_hugepage/shmem_enabled") or "unknown"),
        "compiler": _first_line(["g++", "--version"]) or "unknown",
        "build": build,
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return {name: text for name, text in facts.items() if text}
