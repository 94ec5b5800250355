"""What Debian's Bazel 4 (bazel-bootstrap) would download before it compiles C++, made from what is there.

- rules_cc: Debian's package of it does not load in Bazel 4, whose C++ rules are built in. This one re-exports them, so
  that BUILD files can have the load() lines that Bazel 8 and 9 ask for.
- rules_java: the package bazel-rules-java. Bazel's own toolchain definitions name it.
- remote_coverage_tools: every test names it; only `bazel coverage` uses it.

A later Bazel in WORKSPACE mode gets none of these, but needs rules_cc.
"""

load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")
load("@bazel_tools//tools/build_defs/repo:utils.bzl", "maybe")

_RULES_CC_BUILD = """
alias(
    name = "toolchain_type",
    actual = "@bazel_tools//tools/cpp:toolchain_type",
    visibility = ["//visibility:public"],
)
"""

_RULES_CC_DEFS = """
cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_import = native.objc_import
objc_library = native.objc_library
"""

_RULES_CC_ACTION_NAMES = """
load("@bazel_tools//tools/build_defs/cc:action_names.bzl", _names = "ACTION_NAMES")

ACTION_NAMES = _names
"""

_COVERAGE_BUILD = """
filegroup(
    name = "coverage_report_generator",
    visibility = ["//visibility:public"],
)
"""

def _files_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"{}\")\n".format(ctx.name))
    ctx.file("BUILD.bazel", "")
    for path, text in ctx.attr.files.items():
        ctx.file(path, text)

_files = repository_rule(
    implementation = _files_impl,
    doc = "A repository of small files.",
    attrs = {"files": attr.string_dict(mandatory = True)},
)

def debian_bazel_repositories():
    """Defines the repositories of the head of this file, those that are not there yet."""
    # Debian's build of Bazel has no version label.
    if native.bazel_version and not native.bazel_version.startswith("4."):
        maybe(
            http_archive,
            name = "rules_cc",
            urls = ["https://github.com/bazelbuild/rules_cc/releases/download/0.0.9/rules_cc-0.0.9.tar.gz"],
            sha256 = "2037875b9a4456dce4a79d112a8ae885bbc4aad968e6587dca6e64f3a0900cdf",
            strip_prefix = "rules_cc-0.0.9",
        )
        return
    maybe(
        _files,
        name = "rules_cc",
        files = {
            "cc/BUILD.bazel": _RULES_CC_BUILD,
            "cc/action_names.bzl": _RULES_CC_ACTION_NAMES,
            "cc/defs.bzl": _RULES_CC_DEFS,
        },
    )
    maybe(
        _files,
        name = "remote_coverage_tools",
        files = {"BUILD.bazel": _COVERAGE_BUILD},
    )
    maybe(native.local_repository, name = "rules_java", path = "/usr/share/bazel/rules/java")
