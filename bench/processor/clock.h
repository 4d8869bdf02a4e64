/* As sitecustomize.py, for a peer in C: cc -include clock.h */
#include <time.h>
#undef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID
