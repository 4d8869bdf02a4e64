/* tests/unit/winograd.c: convolutions by Winograd's algorithm, and both their gradients, against
 * the interpreter: places and channels that are no multiples of tiles and vectors, any padding,
 * tiles that are left over, both precisions and pairs of bf16; and that dividing them changes no
 * bit. */
#include "networks.h"

typedef struct Shape {
    int64_t channels, filters, high, wide, pad, n;
} Shape;

static const Shape shapes[] = {
    {16, 16, 8, 8, 1, 4}, {3, 20, 7, 5, 1, 2}, {17, 5, 6, 9, 0, 3},
    {33, 8, 5, 6, 0, 1},  {8, 48, 3, 3, 1, 4}, {16, 31, 4, 7, 2, 2},
};

static void network(Rig *r, const Shape *s, bool f64) {
    /* Where sums are large, tanh would make much of what rounding to bf16 changes. */
    Op bend = rig_pairs ? OP_NEG : OP_TANH;
    rig_open(r, "a convolution by Winograd's algorithm", s->n, 4, f64);
    Tensor *x =
        rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, s->channels, s->high, s->wide));
    Tensor *h = apply(r, "h", bend, convolution(r, "conv1", x, s->filters, 3, 1, 1));
    Tensor *y = convolution(r, "conv2", h, s->filters + 1, 3, 1, s->pad);
    y = apply(r, "y", bend, y);
    mean_square(r, y);
    gradients(r);
    rig_root(r, y);
    rig_run(r);
}

/* What belongs to one example has the same bits in both; sums over examples are done in parts where
 * kernels are divided. */
static void compare(const Rig *a, const Rig *b) {
    for (uint32_t i = 0; i < a->m->roots.len; i++) {
        const Tensor *t = a->m->roots.at[i].tensor;
        if (t->rank == 0 || t->dims[0] != EXTENT_BATCH) continue;
        EXPECT(memcmp(a->results[i], b->results[i], (size_t)rig_bytes(a, t)) == 0);
    }
}

static void check(const Shape *s, bool f64) {
    Rig whole, divided;
    rig_divides = false;
    network(&whole, s, f64);
    rig_divides = true;
    network(&divided, s, f64);
    compare(&whole, &divided);
    rig_close(&whole);
    rig_close(&divided);
}

int main(void) {
    for (rig_winograd = 2; rig_winograd <= 4; rig_winograd += 2)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check(&shapes[i], (i + rig_winograd / 2) % 2);
    EXPECT(rig_wound >= 40 && rig_divided > 0);
    rig_winograd = 2;
    rig_pairs = true;
    rig_wound = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i], false);
    EXPECT(rig_wound >= 20);
    TEST_END();
}
