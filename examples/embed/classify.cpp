// The same object in C++: twenty steps on one example, whose digit it then knows.
#include "digits.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

alignas(64) static float params[DIGITS_PARAMS], state[DIGITS_STATE];
alignas(64) static char arena[DIGITS_ARENA];

int main() {
    float image[64] = {}, p[10];
    for (int row = 0; row < 8; row++) image[row * 8 + 4] = 1; // a one
    const std::int32_t label = 1;
    digits_init(params, state, 1, arena);
    float first = 0, last = 0;
    for (std::uint64_t step = 1; step <= 20; step++) {
        last = digits_step(params, state, image, &label, 1, 1, step, arena);
        if (step == 1) first = last;
    }
    digits_forward(params, state, image, p, 1, arena);
    long best = std::max_element(p, p + 10) - p;
    std::printf("loss %g, then %g: it is a %ld\n", first, last, best);
    return best == label && last < first ? 0 : 1;
}
