/* runtime/shuffle.c: random numbers by position, and permutations.
 *
 * Counter-based: draw number i of stream s under seed k is a function of (k, s, i) alone, so that
 * nothing has to be kept between epochs and a resumed training sees the order it would have seen.
 * The function is SplitMix64's finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014; constants of variant 13 by Stafford) applied to a counter that steps by the
 * golden ratio, keyed by the mixed seed and stream.
 */
#include "runtime/private.h"

#define GOLDEN 0x9e3779b97f4a7c15u

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t shuffle_draw(uint64_t seed, uint64_t stream, uint64_t position) {
    uint64_t key = mix(mix(seed + GOLDEN) + (stream + 1) * GOLDEN);
    return mix(key + (position + 1) * GOLDEN);
}

/* Fisher-Yates from the end: order[i] changes places with order[j], j even in 0..i. Draws at the
 * top of the range that would favour small j are skipped. */
void dlrt_shuffle(int64_t *order, int64_t n, uint64_t seed, uint64_t epoch) {
    uint64_t position = 0;
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        uint64_t bound = (uint64_t)i + 1, excess = (0 - bound) % bound, draw;
        do draw = shuffle_draw(seed, epoch, position++);
        while (draw < excess);
        int64_t j = (int64_t)(draw % bound), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}
