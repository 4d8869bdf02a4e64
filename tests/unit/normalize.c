/* Normal form: what becomes of modules, and that their values stay. */
#include "wild.h"

/* y[b, u] = max(bias[u] + sum[i] x[b, i] * w[u, i], 0) */
static void dense(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 5));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(4, 5));
    Tensor *bias = lab_leaf(l, TENSOR_PARAM, "bias", 0, DIMS(4));
    Index *b = lab_index(l, "batch", EXTENT_BATCH), *u = lab_index(l, "u", 4);
    Index *i = lab_index(l, "i", 5);
    const Expr *sum =
        REDUCE(l, SUM, ir_mul(&l->ctx, lab_read(l, x, b, i), lab_read(l, w, u, i)), i);
    const Expr *z = ir_add(&l->ctx, lab_read(l, bias, u), sum);
    Tensor *y = DEFINE(l, "y", ir_op2(&l->ctx, OP_MAX, z, lab_real(l, 0)), b, u);
    lab_root(l, y);
    lab_normalize(l, 3);
    EXPECT_STR(lab_print(l), "model lab {\n"
                             "    input x[5]\n"
                             "    param w[4, 5] ~ zeros\n"
                             "    param bias[4] ~ zeros\n"
                             "    y.sum[u] = sum[i] w[u, i] * x[i]\n"
                             "    output y[u] = max(bias[u] + y.sum[u], 0)\n"
                             "}\n");
    lab_close(l);
}

/* sum[i, j] a[i] * b[i, j] * c[j]: two contractions. */
static void three_factors(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *a = lab_leaf(l, TENSOR_INPUT, "a", 0, DIMS(EXTENT_BATCH, 6));
    Tensor *b = lab_leaf(l, TENSOR_PARAM, "b", 0, DIMS(6, 7));
    Tensor *c = lab_leaf(l, TENSOR_INPUT, "c", 0, DIMS(EXTENT_BATCH, 7));
    Index *n = lab_index(l, "batch", EXTENT_BATCH);
    Index *i = lab_index(l, "i", 6), *j = lab_index(l, "j", 7);
    const Expr *product = ir_mul(&l->ctx, lab_read(l, a, n, i),
                                 ir_mul(&l->ctx, lab_read(l, b, i, j), lab_read(l, c, n, j)));
    lab_root(l, DEFINE(l, "y", REDUCE(l, SUM, product, i, j), n));
    lab_normalize(l, 4);
    EXPECT_INT(lab_kind_count(l, EX_CONTRACT), 2);
    for (uint32_t e = 0; e < l->m->equations.len; e++)
        EXPECT_INT(l->m->equations.at[e]->body->contract.nfactors, 2);
    lab_close(l);
}

static void wild(uint64_t seed) {
    int failures = test_failures;
    Lab lab;
    wild_module(&lab, seed, 4, 4);
    lab_normalize(&lab, 1 + (int64_t)(seed % 3));
    lab_close(&lab);
    if (test_failures > failures) printf("seed %llu\n", (unsigned long long)seed);
}

int main(int argc, char **argv) {
    if (argc > 1) wild(strtoull(argv[1], NULL, 10));
    for (uint64_t seed = 1; argc == 1 && seed <= 300; seed++) wild(seed);
    dense();
    three_factors();
    TEST_END();
}
