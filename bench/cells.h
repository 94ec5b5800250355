// The cells: what is measured, in which group, for whom.
#ifndef SEGDICT_BENCH_CELLS_H_
#define SEGDICT_BENCH_CELLS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/dataset.h"
#include "bench/table.h"
#include "bench/workers.h"

namespace segdict::bench {

struct Workers {
  WorkerKind kind;
  unsigned count;
};

// One timed loop on the table of a group.
struct Cell {
  std::string name;
  Op op;
  std::optional<Mix> mix;          // for Op::kScript
  std::optional<Workers> workers;  // none: the process's only thread
  std::string not_offered;         // why nobody here has it; empty otherwise
};

// Peers in the cells of a row. A peer that has not the operation is left out of that cell.
struct Row {
  std::vector<Cell> cells;
  std::vector<std::string> peers;
};

// Tables of one kind and size; measured by one run of the program, in which all peers' tables exist side by side.
struct Group {
  std::string name;
  Setup setup;
  bool fresh = false;  // churn must not age the tables
  std::vector<Row> rows = {};
};

const std::vector<Group>& Groups();

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_CELLS_H_
