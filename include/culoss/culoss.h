// The C interface: every function of the library, on both devices, for C99 and later, C++ and
// foreign-function interfaces. It is the ABI; the C++ interface promises none.
//
//   culoss_execution on_cpu = {.size = sizeof on_cpu, .device = CULOSS_CPU};
//   culoss_cross_entropy_options options;
//   culoss_cross_entropy_options_init(&options, sizeof options);
//   options.label_smoothing = 0.1f;
//   culoss_cross_entropy_outputs outputs = {.size = sizeof outputs, .loss = {&loss, 1, ...}};
//   if (culoss_cross_entropy(&on_cpu, logits, labels, &outputs, &options) != CULOSS_SUCCESS)
//     fprintf(stderr, "%s\n", culoss_last_message());
//
// Formulas, shapes, special values, errors and what each field means stand in the C++ headers
// (cross_entropy.hpp and so on), whose names these are: culoss_huber_options has the fields of
// culoss::huber_options. C++ overloads have names of their own here: `_soft` takes target
// probabilities where the other takes labels, `_labels` labels where the other takes targets.
//
// Structs that may grow begin with their size, as the caller's header has it. Later versions add
// fields at the end only, in multiples of 8 bytes. What lies beyond the given size has its default;
// bytes beyond what the library knows must be 0, else the call is refused. No struct has padding.
// Outputs that are all zero are not computed. Null options mean the defaults.
//
// Every view carries the type of its elements. All matrices of a call have the one of its first,
// losses and statistics float (double where that is double), weights float, whatever the inputs are.
// A type that does not fit is refused, as any bad argument, before anything is launched or written.
//
// Functions that return a status set the message of the calling thread: empty after a success, else
// the function, the argument and its value. It stands until the thread's next such call.
#pragma once

#include <culoss/c/core.h>
#include <culoss/c/cross_entropy.h>
#include <culoss/c/elements.h>
#include <culoss/c/embeddings.h>
#include <culoss/c/pairs.h>
#include <culoss/c/rows.h>
