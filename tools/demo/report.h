// The table that the demo prints at the end.
#ifndef SEGDICT_TOOLS_DEMO_REPORT_H_
#define SEGDICT_TOOLS_DEMO_REPORT_H_

#include "tools/demo/baseline_phase.h"
#include "tools/demo/corpus.h"
#include "tools/demo/segdict_phase.h"

namespace segdict::demo {

void PrintReport(const Corpus& corpus, const SegdictResult& segdict, const BaselineResult& baseline);

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_REPORT_H_
