"""The benchmark's report: runs everything, and turns what was measured into tables, verdicts and plots.

* results.py: what was measured: the data model, and results.json
* benchmark.py: one run of //bench:bench, and Google Benchmark's JSON
* plan.py: which groups are run, in which runs, how often and how long
* measure.py: runs what is planned and collects the results
* process.py: child processes that leave nothing behind
* progress.py: what is shown meanwhile
* latency.py: //bench:latency: exact histograms and their percentiles
* machine.py: what it was measured on
* tables.py: the Markdown tables
* bars.py: the bars and their verdicts
* plots.py, drawing.py: the plots; their colours, names and axes
* text.py: numbers as people read them
* boost.py: fetches the headers of a peer that Debian has not
* __main__.py: the command line
"""
