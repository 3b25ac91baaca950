/* Every function of the C interface, called from C with arguments that a test in C++ has prepared. */
#ifndef CULOSS_TESTS_C_INTERFACE_CALLS_H
#define CULOSS_TESTS_C_INTERFACE_CALLS_H

#include <culoss/culoss.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Inputs and outputs in the order of the function's arguments. */
struct c_call {
  const culoss_execution* where;
  culoss_const_matrix in[4];
  culoss_const_vector labels, statistics, bias;
  culoss_matrix out[2];
  const void* outputs;
  const void* options;
};

struct c_loss {
  const char* name;
  culoss_status (*call)(const struct c_call*);
};
struct c_init {
  const char* name;
  culoss_status (*init)(void* options, uint64_t size);
};
struct c_bytes {
  const char* name;
  uint64_t (*bytes)(int64_t rows, int64_t cols);
};
struct c_plan {
  const char* name;
  culoss_status (*plan)(const void* shape, culoss_workspace* out);
};

/* Each ends with an entry of null. */
extern const struct c_loss c_losses[];
extern const struct c_init c_inits[];
extern const struct c_bytes c_bytes_of[];
extern const struct c_plan c_plans[];

/* What is left: calls the others with arguments that need no memory; the line that went wrong, or
   0. `message` is what culoss_last_message() said of a call without an execution. */
int c_rest(char* message, size_t bytes);
culoss_status c_read_faults(const culoss_execution* where, const culoss_fault_record* record,
                            culoss_faults* out);
culoss_status c_cublas_create(culoss_cublas** made);
culoss_status c_cublas_borrow(struct cublasContext* handle, void* memory, uint64_t bytes,
                              culoss_cublas** made);
void c_cublas_destroy(culoss_cublas* blas);

#ifdef __cplusplus
}
#endif

#endif
