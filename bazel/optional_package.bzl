"""A C++ library that is used where it is found, and left out otherwise.

optional_package() makes a repository with the label //:library. If the environment variable `variable` names a folder,
its headers (and `srcs`, compiled with `copts`) are the library; otherwise, if the system has `header`, the system's
headers and `linkopts` are. Then `define` is defined for whoever depends on the label. If neither is there, the label
is an empty library without the define.
"""

_FROM_FOLDER = """# Written by optional_package: what {variable} names.
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "library",
    srcs = glob({srcs}),
    hdrs = glob(["**/*.h", "**/*.hpp"]),
    copts = {copts},
    defines = {defines},
    includes = {includes},
    visibility = ["//visibility:public"],
)
"""

_FROM_SYSTEM = """# Written by optional_package: the system's, if it has it.
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "library",
    defines = {defines},
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
"""

def _optional_package_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"{}\")\n".format(ctx.name))
    folder = ctx.os.environ.get(ctx.attr.variable, "") if ctx.attr.variable else ""
    if folder:
        ctx.symlink(folder, "folder")
        made = {}
        for path, text in ctx.attr.files.items():
            ctx.file(path, text)
            made[path.rpartition("/")[0]] = True
        ctx.file("BUILD.bazel", _FROM_FOLDER.format(
            variable = ctx.attr.variable,
            srcs = ["folder/" + path for path in ctx.attr.srcs],
            copts = ctx.attr.copts,
            defines = [ctx.attr.define],
            includes = ["folder" + ("/" + path if path else "") for path in ctx.attr.includes] + made.keys(),
        ))
        return
    found = bool(ctx.attr.header) and ctx.path("/usr/include/" + ctx.attr.header).exists
    ctx.file("BUILD.bazel", _FROM_SYSTEM.format(
        defines = [ctx.attr.define] if found else [],
        linkopts = ctx.attr.linkopts if found else [],
    ))

optional_package = repository_rule(
    implementation = _optional_package_impl,
    doc = "See the head of this file.",
    environ = ["SEGDICT_BENCH_BOOST", "SEGDICT_BENCH_CLHT", "SEGDICT_BENCH_PHMAP"],
    configure = True,
    attrs = {
        "define": attr.string(doc = "The macro that says that the library is there.", mandatory = True),
        "header": attr.string(doc = "Where the system has the library, /usr/include has this."),
        "linkopts": attr.string_list(doc = "How to link with the system's."),
        "variable": attr.string(doc = "The environment variable that may name a folder; listed in `environ` above."),
        "includes": attr.string_list(doc = "The folder's include folders.", default = [""]),
        "srcs": attr.string_list(doc = "The folder's sources, as patterns."),
        "copts": attr.string_list(doc = "How to compile them."),
        "files": attr.string_dict(doc = "Headers to make beside the folder, by path, for what it includes."),
    },
)
