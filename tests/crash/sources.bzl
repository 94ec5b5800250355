"""The files that a library is made of, as data: nobody has to list them."""

_Sources = provider(fields = ["files"])

def _collect(target, ctx):
    files = []
    for name in ["srcs", "hdrs"]:
        for attribute in getattr(ctx.rule.attr, name, []):
            files.append(attribute.files)
    for dep in getattr(ctx.rule.attr, "deps", []):
        if _Sources in dep:
            files.append(dep[_Sources].files)
    return [_Sources(files = depset(transitive = files))]

_sources_of = aspect(implementation = _collect, attr_aspects = ["deps"])

def _sources(ctx):
    files = depset(transitive = [dep[_Sources].files for dep in ctx.attr.deps]).to_list()
    return [DefaultInfo(runfiles = ctx.runfiles(files = [
        file
        for file in files
        if file.is_source and file.owner.workspace_name == ""
    ]))]

sources = rule(
    implementation = _sources,
    attrs = {"deps": attr.label_list(aspects = [_sources_of])},
)
