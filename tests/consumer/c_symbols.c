/* Links every function of the C interface from the package, so that a shared library must export
   them all, and calls those that need no memory. */
#include <stdio.h>

#include "tests/c_interface/calls.h"

int main(void) {
  char message[256] = "";
  const int line = c_rest(message, sizeof message);
  int losses = 0;
  while (c_losses[losses].name) ++losses;
  printf("%d losses, version %d, line %d: %s\n", losses, (int)culoss_version(), line, message);
  return line != 0 || losses == 0;
}
