/* The passes of ir/, one by one: order and recurrences, pruning, merging, hoisting, contractions,
 * and that the verifier finds what is wrong. */
#include "lab.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static Equation *equation_of(Lab *l, const char *name) {
    for (uint32_t i = 0; i < l->m->equations.len; i++)
        if (strcmp(l->m->equations.at[i]->result->name, name) == 0) return l->m->equations.at[i];
    return NULL;
}

static int position_of(Lab *l, const char *name) {
    for (uint32_t i = 0; i < l->m->equations.len; i++)
        if (strcmp(l->m->equations.at[i]->result->name, name) == 0) return (int)i;
    return -1;
}

/* Closes a lab whose module is wrong; expects the only message to have `text` in it. */
static void close_failed(Lab *l, const char *text) {
    EXPECT_INT(l->ctx.diags.errors, 1);
    const char *message = l->ctx.diags.all.len ? l->ctx.diags.all.at[0]->message : "nothing";
    if (!strstr(message, text)) EXPECT_STR(message, text);
    diag_clear(&l->ctx);
    lab_close(l);
}

/* ---- order ---- */

static void order_of_reads(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *a = lab_declare(l, "a", NULL, 0), *b = lab_declare(l, "b", NULL, 0);
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, NULL, 0);
    ir_define(&l->ctx, l->m, b, NULL, ir_neg(&l->ctx, lab_read(l, a)), (Span){0, 0});
    ir_define(&l->ctx, l->m, a, NULL, ir_op1(&l->ctx, OP_EXP, lab_read(l, x)), (Span){0, 0});
    EXPECT(ir_order(&l->ctx, l->m));
    EXPECT_INT(position_of(l, "a"), 0);
    EXPECT_INT(position_of(l, "b"), 1);
    EXPECT_INT(equation_of(l, "a")->scan.group, 0);
    IrValues values = lab_values(l, 1);
    lab_eval(l, &values, b);
    EXPECT_NEAR(*lab_array(l, &values, b), -exp(*lab_array(l, &values, x)), 1e-15);
    lab_close(l);
}

/* h[b, t] = h[b, t + lag] + x[b, t] */
static void one_recurrence(int64_t lag) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 5));
    Tensor *h = lab_declare(l, "h", DIMS(EXTENT_BATCH, 5));
    Index *b = lab_index(l, "batch", EXTENT_BATCH), *t = lab_index(l, "t", 5);
    const Expr *other = lab_read_else(l, h, lab_real(l, 0), lab_at(l, b), lab_shift(l, t, lag));
    const Expr *body = ir_add(&l->ctx, other, lab_read(l, x, b, t));
    ir_define(&l->ctx, l->m, h, INDICES(b, t), body, (Span){0, 0});
    lab_root(l, h);
    if (lag == 0) {
        EXPECT(!ir_order(&l->ctx, l->m));
        close_failed(l, "cannot be ordered: h -> h");
        return;
    }
    EXPECT(ir_order(&l->ctx, l->m));
    EXPECT(equation_of(l, "h")->scan.group > 0);
    EXPECT_INT(equation_of(l, "h")->scan.dim, 1);
    EXPECT_INT(equation_of(l, "h")->scan.direction, lag < 0 ? 1 : -1);
    IrValues values = lab_values(l, 2);
    const double *found = lab_eval(l, &values, h), *given = lab_array(l, &values, x);
    double expected[5] = {0};
    for (int64_t n = 0; n < 5; n++) {
        int64_t at = lag < 0 ? n : 4 - n, before = at + lag;
        expected[at] = given[5 + at] + (before >= 0 && before < 5 ? expected[before] : 0);
        EXPECT_NEAR(found[5 + at], expected[at], 1e-14);
    }
    lab_close(l);
}

/* c[t] = h[t - 1], h[t] = 2 * c[t]: c goes first at each time. */
static void two_in_step(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *h = lab_declare(l, "h", DIMS(4)), *c = lab_declare(l, "c", DIMS(4));
    Index *t = lab_index(l, "t", 4), *s = lab_index(l, "s", 4);
    const Expr *twice = ir_mul(&l->ctx, lab_real(l, 2), lab_read(l, c, t));
    ir_define(&l->ctx, l->m, h, INDICES(t), twice, (Span){0, 0});
    ir_define(&l->ctx, l->m, c, INDICES(s),
              lab_read_else(l, h, lab_real(l, 1), lab_shift(l, s, -1)), (Span){0, 0});
    lab_root(l, h);
    EXPECT(ir_order(&l->ctx, l->m));
    EXPECT(position_of(l, "c") < position_of(l, "h"));
    EXPECT_INT(equation_of(l, "c")->scan.group, equation_of(l, "h")->scan.group);
    IrValues values = lab_values(l, 1);
    EXPECT_NEAR(lab_eval(l, &values, h)[3], 16, 0);
    lab_normalize(l, 1);
    lab_close(l);
}

/* Both neighbours; or the time of one index is needed at the same time of the other. */
static void no_order(bool square) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *h = lab_declare(l, "h", DIMS(4, 4));
    Index *i = lab_index(l, "i", 4), *j = lab_index(l, "j", 4);
    const Expr *zero = lab_real(l, 0);
    const Expr *a = lab_read_else(l, h, zero, lab_shift(l, i, -1), lab_at(l, j));
    const Expr *b = square ? lab_read_else(l, h, zero, lab_at(l, i), lab_shift(l, j, -1))
                           : lab_read_else(l, h, zero, lab_shift(l, i, 1), lab_at(l, j));
    ir_define(&l->ctx, l->m, h, INDICES(i, j), ir_add(&l->ctx, a, b), (Span){0, 0});
    EXPECT(!ir_order(&l->ctx, l->m));
    close_failed(l, "cannot be ordered: h -> h");
}

static void cycle_of_three(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *all[3];
    static const char *const names[] = {"a", "b", "c"};
    for (int n = 0; n < 3; n++) all[n] = lab_declare(l, names[n], DIMS(3));
    for (int n = 0; n < 3; n++) {
        Index *i = lab_index(l, "i", 3);
        const Expr *body = ir_op1(&l->ctx, OP_SIN, lab_read(l, all[(n + 1) % 3], i));
        ir_define(&l->ctx, l->m, all[n], INDICES(i), body, (Span){0, 0});
    }
    EXPECT(!ir_order(&l->ctx, l->m));
    close_failed(l, "a -> b -> c -> a");
}

/* ---- pruning ---- */

static void pruning(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, NULL, 0);
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, NULL, 0);
    Tensor *used = lab_scalar(l, "used", ir_op1(c, OP_SIN, lab_read(l, x)));
    lab_scalar(l, "unused", ir_op1(c, OP_COS, lab_read(l, x)));
    Tensor *next = lab_scalar(l, "next", ir_add(c, lab_read(l, w), lab_read(l, used)));
    Update update = {w, next};
    vec_push(c->arena, &l->m->updates, update);
    ir_prune(c, l->m);
    EXPECT_INT(l->m->equations.len, 2);
    EXPECT(!equation_of(l, "unused"));
    EXPECT(equation_of(l, "used") && equation_of(l, "next"));
    EXPECT_INT(l->m->tensors.len, 4);
    ir_verify(c, l->m, false);
    l->m->updates.len = 0;
    ir_prune(c, l->m);
    EXPECT_INT(l->m->equations.len, 0);
    EXPECT_INT(l->m->tensors.len, 2);
    lab_close(l);
}

/* ---- merging ---- */

static void merging(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 3, 4));
    Index *b = lab_index(l, "batch", EXTENT_BATCH), *i = lab_index(l, "i", 3);
    Index *j = lab_index(l, "j", 4), *n = lab_index(l, "batch", EXTENT_BATCH);
    Index *p = lab_index(l, "p", 3), *q = lab_index(l, "q", 4);
    Tensor *turned = DEFINE(l, "turned", lab_read(l, x, b, i, j), b, j, i);
    Tensor *one = DEFINE(l, "one", ir_op1(c, OP_EXP, lab_read(l, turned, b, j, i)), b, i, j);
    Tensor *same = DEFINE(l, "same", ir_op1(c, OP_EXP, lab_read(l, x, n, p, q)), n, p, q);
    Tensor *constant = DEFINE(l, "constant", lab_real(l, 3), i);
    const Expr *sum = ir_add(c, lab_read(l, one, b, i, j), lab_read(l, same, b, i, j));
    sum = ir_mul(c, sum, lab_read(l, constant, i));
    Tensor *y = DEFINE(l, "y", sum, b, i, j);
    Tensor *output = DEFINE(l, "output", lab_read(l, y, b, i, j), b, i, j);
    lab_root(l, output);
    lab_normalize(l, 2);
    EXPECT_STR(lab_print(l), "model lab {\n"
                             "    input x[3, 4]\n"
                             "    one[i, j] = exp(x[i, j])\n"
                             "    output output_[i, j] = 6 * one[i, j]\n"
                             "}\n");
    lab_close(l);
}

/* ---- hoisting ---- */

static void hoisting(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 4));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(4, 6));
    Index *b = lab_index(l, "batch", EXTENT_BATCH), *k = lab_index(l, "k", 4);
    Index *j = lab_index(l, "j", 6), *i = lab_index(l, "i", 4);
    const Expr *best = REDUCE(l, ARGMAX, lab_read(l, x, b, k), k);
    const Expr *row = lab_read_else(l, w, NULL, best, lab_at(l, j));
    const Expr *most = REDUCE(l, MAX, ir_mul(c, row, lab_read(l, x, b, i)), j);
    const Expr *mean = ir_div(c, REDUCE(l, SUM, most, b), ir_batch(c));
    lab_root(l, DEFINE(l, "y", ir_op1(c, OP_TANH, mean), i));
    lab_normalize(l, 3);
    EXPECT_STR(lab_print(l), "model lab {\n"
                             "    input x[4]\n"
                             "    param w[4, 6] ~ zeros\n"
                             "    y.argmax = argmax[k] x[k]\n"
                             "    y.max[i] = max[j] w[y.argmax, j] * x[i]\n"
                             "    y.sum[i] = sum[batch] y.max[i]\n"
                             "    output y[i] = tanh(y.sum[i] / (sum[batch] 1))\n"
                             "}\n");
    lab_close(l);
}

/* A sum over other examples for each example would need a tensor of pairs. */
static void pairs_of_examples(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 4));
    Index *b = lab_index(l, "batch", EXTENT_BATCH), *n = lab_index(l, "batch", EXTENT_BATCH);
    Index *i = lab_index(l, "i", 4);
    const Expr *distance = ir_sub(c, lab_read(l, x, b, i), lab_read(l, x, n, i));
    const Expr *sum = REDUCE(l, SUM, ir_mul(c, distance, distance), i);
    lab_root(l, DEFINE(l, "y", REDUCE(l, SUM, ir_op1(c, OP_EXP, ir_neg(c, sum)), n), b));
    ir_normalize(c, l->m);
    close_failed(l, "pairs of examples");
}

/* ---- contractions ---- */

/* sum[c, u] max(x[c, i + u], 0) * k[f, c, u]: the rectified x is made once. */
static void rectified_factor(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 2, 9));
    Tensor *k = lab_leaf(l, TENSOR_PARAM, "k", 0, DIMS(5, 2, 3));
    Index *b = lab_index(l, "batch", EXTENT_BATCH), *f = lab_index(l, "f", 5);
    Index *i = lab_index(l, "i", 9), *ch = lab_index(l, "c", 2), *u = lab_index(l, "u", 3);
    const Expr *at = ir_int_add(&l->ctx, lab_at(l, i), lab_shift(l, u, -1));
    const Expr *pixel = lab_read_else(l, x, lab_real(l, 0), lab_at(l, b), lab_at(l, ch), at);
    const Expr *product =
        ir_mul(&l->ctx, ir_op2(&l->ctx, OP_MAX, pixel, lab_real(l, 0)), lab_read(l, k, f, ch, u));
    lab_root(l, DEFINE(l, "y", REDUCE(l, SUM, product, ch, u), b, f, i));
    lab_normalize(l, 2);
    EXPECT_STR(lab_print(l), "model lab {\n"
                             "    input x[2, 9]\n"
                             "    param k[5, 2, 3] ~ zeros\n"
                             "    y.factor[i, j] = max(x[i, j], 0)\n"
                             "    output y[f, i < 9] = sum[c, u] (y.factor[c, i + u - 1] else 0) * "
                             "k[f, c, u]\n"
                             "}\n");
    lab_close(l);
}

/* A chain of matrices is multiplied in the order that is cheapest: (a b) c for a thin a. */
static void chain(int64_t rows, int64_t columns, const char *pair) {
    Lab lab, *l = &lab;
    lab_open(l);
    Ctx *c = &l->ctx;
    Tensor *a = lab_leaf(l, TENSOR_INPUT, "a", 0, DIMS(rows, 8));
    Tensor *b = lab_leaf(l, TENSOR_PARAM, "b", 0, DIMS(8, 8));
    Tensor *d = lab_leaf(l, TENSOR_PARAM, "d", 0, DIMS(8, columns));
    Index *i = lab_index(l, "i", rows), *j = lab_index(l, "j", 8), *k = lab_index(l, "k", 8);
    Index *m = lab_index(l, "m", columns);
    const Expr *product =
        ir_mul(c, lab_read(l, a, i, j), ir_mul(c, lab_read(l, b, j, k), lab_read(l, d, k, m)));
    lab_root(l, DEFINE(l, "y", REDUCE(l, SUM, product, j, k), i, m));
    lab_normalize(l, 1);
    EXPECT_INT(lab_kind_count(l, EX_CONTRACT), 2);
    if (!strstr(lab_print(l), pair)) EXPECT_STR(lab_print(l), pair);
    lab_close(l);
}

/* if causal then s * v else 0: the mask joins the factor that has both of its indices. */
static void masked_factor(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Ctx *c = &l->ctx;
    Tensor *s = lab_leaf(l, TENSOR_INPUT, "s", 0, DIMS(EXTENT_BATCH, 5, 5));
    Tensor *v = lab_leaf(l, TENSOR_INPUT, "v", 0, DIMS(EXTENT_BATCH, 5, 3));
    Index *b = lab_index(l, "batch", EXTENT_BATCH), *t = lab_index(l, "t", 5);
    Index *u = lab_index(l, "u", 5), *d = lab_index(l, "d", 3);
    const Expr *past = ir_op2(c, OP_LE, lab_at(l, u), lab_at(l, t));
    const Expr *product = ir_mul(c, lab_read(l, s, b, t, u), lab_read(l, v, b, u, d));
    const Expr *body = REDUCE(l, SUM, ir_select(c, past, product, lab_real(l, 0)), u);
    lab_root(l, DEFINE(l, "y", body, b, t, d));
    lab_normalize(l, 2);
    EXPECT_STR(lab_print(l), "model lab {\n"
                             "    input s[5, 5]\n"
                             "    input v[5, 3]\n"
                             "    y.factor[t, u] = if u <= t then s[t, u] else 0\n"
                             "    output y[t, d] = sum[u] v[u, d] * y.factor[t, u]\n"
                             "}\n");
    lab_close(l);
}

/* ---- the verifier ---- */

typedef void Damage(Lab *l);

/* Does ir_verify end the process? */
static bool is_caught(Damage *damage, bool normal) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        Lab lab;
        if (!freopen("/dev/null", "w", stderr)) _exit(0);
        signal(SIGABRT, SIG_DFL);
        lab_open(&lab);
        damage(&lab);
        ir_verify(&lab.ctx, lab.m, normal);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static Tensor *line(Lab *l, int64_t extent) {
    return lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(extent));
}

static void no_damage(Lab *l) {
    Tensor *x = line(l, 3);
    Index *i = lab_index(l, "i", 3);
    DEFINE(l, "y", lab_read(l, x, i), i);
}

static void read_outside(Lab *l) {
    Tensor *x = line(l, 3);
    Index *i = lab_index(l, "i", 4);
    DEFINE(l, "y", lab_read(l, x, i), i);
}

static void foreign_index(Lab *l) {
    Tensor *x = line(l, 3);
    Index *i = lab_index(l, "i", 3), *k = lab_index(l, "k", 3);
    DEFINE(l, "y", lab_read(l, x, k), i);
}

static void undefined_tensor(Lab *l) {
    Tensor *x = lab_declare(l, "x", DIMS(3));
    Index *i = lab_index(l, "i", 3);
    DEFINE(l, "y", lab_read(l, x, i), i);
}

static void index_bound_twice(Lab *l) {
    Tensor *x = line(l, 3);
    Index *i = lab_index(l, "i", 3);
    const Expr *sum = REDUCE(l, SUM, ir_op1(&l->ctx, OP_EXP, lab_read(l, x, i)), i);
    DEFINE(l, "y", ir_mul(&l->ctx, sum, lab_read(l, x, i)), i);
}

static void wrong_type(Lab *l) {
    lab_define(l, "y", 4, lab_real(l, 1), NULL, 0);
}

static void nested_reduction(Lab *l) {
    Tensor *x = line(l, 3);
    Index *i = lab_index(l, "i", 3);
    lab_scalar(l, "y", ir_op1(&l->ctx, OP_EXP, REDUCE(l, MAX, lab_read(l, x, i), i)));
}

static void wrong_order(Lab *l) {
    Tensor *a = lab_declare(l, "a", NULL, 0);
    lab_scalar(l, "b", ir_op1(&l->ctx, OP_EXP, lab_read(l, a)));
    ir_define(&l->ctx, l->m, a, NULL, lab_real(l, 1), (Span){0, 0});
}

static void verifier(void) {
    EXPECT(!is_caught(no_damage, true));
    EXPECT(is_caught(read_outside, false));
    EXPECT(is_caught(foreign_index, false));
    EXPECT(is_caught(undefined_tensor, false));
    EXPECT(is_caught(index_bound_twice, false));
    EXPECT(is_caught(wrong_type, false));
    EXPECT(!is_caught(nested_reduction, false));
    EXPECT(is_caught(nested_reduction, true));
    EXPECT(!is_caught(wrong_order, false));
    EXPECT(is_caught(wrong_order, true));
}

int main(void) {
    order_of_reads();
    for (int64_t lag = -2; lag <= 2; lag++) one_recurrence(lag);
    two_in_step();
    no_order(false);
    no_order(true);
    cycle_of_three();
    pruning();
    merging();
    hoisting();
    pairs_of_examples();
    rectified_factor();
    chain(2, 8, "y.pair[i, k] =");
    chain(8, 2, "y.pair[m, j] =");
    masked_factor();
    verifier();
    TEST_END();
}
