// Where a call runs.
#pragma once

namespace culoss_test {

enum class space { cpu, cuda };

inline const char* name_of(space s) { return s == space::cpu ? "cpu" : "cuda"; }

}  // namespace culoss_test
