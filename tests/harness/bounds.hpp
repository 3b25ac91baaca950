// The error bounds of the row losses.
#pragma once

#include "tests/harness/label_bounds.hpp"
#include "tests/harness/softmax_bounds.hpp"
#include "tests/harness/target_bounds.hpp"
