"""A C++ dependency taken from the system where it has it, and from a pinned archive otherwise.

system_package() makes a repository with the labels of the upstream project. Where pkg-config finds every module the
repository needs, in the wanted version and in the compiler's default folders, each label becomes a cc_library of
linker options over the system's libraries; otherwise the archive is downloaded and its own BUILD files, or
`archive_build_file`, define the labels.

SEGDICT_SYSTEM_PACKAGES=0 in the environment (or --repo_env) asks for the archives.
"""

_HEAD = """# Written by system_package: the libraries and headers are the system's.
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])
"""

_LIBRARY = """
cc_library(
    name = "{name}",
    linkopts = {linkopts},
)
"""

def _pkg_config(ctx, tool, arguments):
    """The words pkg-config prints, or None if it fails."""
    result = ctx.execute([tool] + arguments)
    return None if result.return_code else [word for word in result.stdout.split(" ") if word.strip()]

def _linkopts(ctx, tool, words):
    """The linker options for `words`: pkg-config modules, and options, which begin with a dash."""
    options = [word for word in words if word.startswith("-")]
    modules = [word for word in words if not word.startswith("-")]
    if modules:
        wanted = ["{} >= {}".format(module, ctx.attr.version) for module in modules]
        found = _pkg_config(ctx, tool, ["--libs", "--static"] + wanted)
        folders = _pkg_config(ctx, tool, ["--cflags-only-I"] + wanted)
        if found == None or folders:
            return None
        options = options + [word.strip() for word in found]
    if not options:
        return []

    # pkg-config names every library of the closure; a binary keeps those that it uses.
    return ["-Wl,--push-state,--as-needed"] + options + ["-Wl,--pop-state"]

def _system_build_files(ctx):
    """The BUILD files {package: text} of the system's libraries, or None if the system lacks one of them."""
    if ctx.os.environ.get("SEGDICT_SYSTEM_PACKAGES", "1") == "0":
        return None
    tool = ctx.which("pkg-config")
    if not tool:
        return None
    files = {}
    for label, words in ctx.attr.libraries.items():
        package, _, name = label.partition(":")
        linkopts = _linkopts(ctx, tool, words)
        if linkopts == None:
            return None
        files[package] = files.get(package, _HEAD) + _LIBRARY.format(name = name, linkopts = repr(linkopts))
    return files

def _system_package_impl(ctx):
    files = _system_build_files(ctx)
    if files == None:
        ctx.download_and_extract(url = ctx.attr.urls, sha256 = ctx.attr.sha256, stripPrefix = ctx.attr.strip_prefix)
        if ctx.attr.archive_build_file:
            ctx.file("BUILD.bazel", ctx.attr.archive_build_file)
        return
    for package, text in files.items():
        ctx.file(package + "/BUILD.bazel" if package else "BUILD.bazel", text)
    if "" not in files:
        ctx.file("BUILD.bazel", "")
    ctx.file("WORKSPACE", "workspace(name = \"{}\")\n".format(ctx.name))

system_package = repository_rule(
    implementation = _system_package_impl,
    doc = "See the head of this file.",
    environ = ["PATH", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "SEGDICT_SYSTEM_PACKAGES"],
    configure = True,
    attrs = {
        "libraries": attr.string_list_dict(
            doc = "For each label (package:name), pkg-config modules and linker options.",
            mandatory = True,
        ),
        "version": attr.string(doc = "The lowest version that will do.", mandatory = True),
        "urls": attr.string_list(mandatory = True),
        "sha256": attr.string(),
        "strip_prefix": attr.string(),
        "archive_build_file": attr.string(doc = "The text of the archive's BUILD file, if it brings none."),
    },
)
