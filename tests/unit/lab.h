/* tests/unit/lab.h: modules built by hand, random values for their leaves, and their evaluation. */
#ifndef DLC_TESTS_UNIT_LAB_H
#define DLC_TESTS_UNIT_LAB_H

#include "ir/ir.h"
#include "test.h"

#include <stdarg.h>
#include <stdlib.h>

#define UNUSED       __attribute__((unused))
#define COUNT(list)  (sizeof(list) / sizeof *(list))
#define INDICES(...) ((Index *[]){__VA_ARGS__})
/* REDUCE(lab, SUM, body, i, j) */
#define REDUCE(lab, op, body, ...)                                                                 \
    ir_reduce(&(lab)->ctx, REDUCE_##op, INDICES(__VA_ARGS__), COUNT(INDICES(__VA_ARGS__)), (body))
#define DEFINE(lab, name, body, ...)                                                               \
    lab_define((lab), (name), 0, (body), INDICES(__VA_ARGS__), COUNT(INDICES(__VA_ARGS__)))
#define DIMS(...) ((int64_t[]){__VA_ARGS__}), COUNT(((int64_t[]){__VA_ARGS__}))

typedef struct Lab {
    Ctx ctx;
    Module *m;
    uint64_t random;
} Lab;

UNUSED static void lab_open(Lab *lab) {
    memset(lab, 0, sizeof *lab);
    ctx_init(&lab->ctx);
    lab->ctx.stage = "ir";
    lab->m = ir_module(&lab->ctx, sym(&lab->ctx, "lab"));
    lab->m->max_batch = 8;
    lab->random = 88172645463325252u;
}

UNUSED static void lab_close(Lab *lab) {
    if (diag_failed(&lab->ctx)) test_failures++;
    diag_show(&lab->ctx, stdout, false, false);
    ctx_free(&lab->ctx);
}

/* Xorshift (Marsaglia, J. Stat. Softw. 2003). */
UNUSED static uint64_t lab_random(Lab *lab) {
    lab->random ^= lab->random << 13;
    lab->random ^= lab->random >> 7;
    return lab->random ^= lab->random << 17;
}

UNUSED static int64_t lab_below(Lab *lab, int64_t n) {
    return (int64_t)(lab_random(lab) % (uint64_t)n);
}

/* In (-1, 1), and never 0. */
UNUSED static double lab_number(Lab *lab) {
    return ((double)(lab_random(lab) >> 12) + 0.5) * 0x1p-51 - 1;
}

UNUSED static Tensor *lab_leaf(Lab *lab, TensorKind kind, const char *name, int64_t classes,
                               const int64_t *dims, size_t rank) {
    return ir_tensor(&lab->ctx, lab->m, kind, sym(&lab->ctx, name), (uint32_t)rank, dims, classes,
                     (Span){0, 0});
}

UNUSED static Index *lab_index(Lab *lab, const char *name, int64_t extent) {
    return ir_index(&lab->ctx, sym(&lab->ctx, name), extent);
}

UNUSED static Tensor *lab_define(Lab *lab, const char *name, int64_t classes, const Expr *body,
                                 Index *const *free, size_t rank) {
    int64_t dims[8] = {0};
    for (size_t d = 0; d < rank; d++) dims[d] = free[d]->extent;
    Tensor *tensor = lab_leaf(lab, TENSOR_LOCAL, name, classes, dims, rank);
    ir_define(&lab->ctx, lab->m, tensor, free, body, (Span){0, 0});
    return tensor;
}

UNUSED static Tensor *lab_scalar(Lab *lab, const char *name, const Expr *body) {
    return lab_define(lab, name, 0, body, NULL, 0);
}

/* A tensor whose equation comes later: for recurrences. */
UNUSED static Tensor *lab_declare(Lab *lab, const char *name, const int64_t *dims, size_t rank) {
    return lab_leaf(lab, TENSOR_LOCAL, name, 0, dims, rank);
}

UNUSED static const Expr *lab_at(Lab *lab, Index *index) {
    return ir_index_value(&lab->ctx, index);
}

/* index + offset */
UNUSED static const Expr *lab_shift(Lab *lab, Index *index, int64_t offset) {
    return ir_int_add(&lab->ctx, lab_at(lab, index), ir_int(&lab->ctx, offset));
}

UNUSED static const Expr *lab_real(Lab *lab, double value) {
    return ir_number(&lab->ctx, value);
}

/* One subscript for each dimension; `otherwise` may be NULL. */
UNUSED static const Expr *lab_read_else(Lab *lab, Tensor *tensor, const Expr *otherwise, ...) {
    const Expr *subs[8];
    va_list args;
    va_start(args, otherwise);
    for (uint32_t d = 0; d < tensor->rank; d++) subs[d] = va_arg(args, const Expr *);
    va_end(args);
    return ir_read(&lab->ctx, tensor, subs, otherwise);
}

/* At one index for each dimension. */
UNUSED static const Expr *lab_read(Lab *lab, Tensor *tensor, ...) {
    Index *indices[8];
    va_list args;
    va_start(args, tensor);
    for (uint32_t d = 0; d < tensor->rank; d++) indices[d] = va_arg(args, Index *);
    va_end(args);
    return ir_read_at(&lab->ctx, tensor, indices);
}

UNUSED static void lab_root(Lab *lab, Tensor *tensor) {
    Root root = {tensor->name, tensor};
    vec_push(lab->ctx.arena, &lab->m->roots, root);
}

/* ---- values ---- */

UNUSED static double *lab_array(Lab *lab, IrValues *values, const Tensor *tensor) {
    double *array = map_get(&values->arrays, tensor);
    if (array) return array;
    size_t n = (size_t)tensor_elements(tensor, values->batch);
    array = ARENA_ARRAY(lab->ctx.arena, double, n + 1);
    map_set(lab->ctx.arena, &values->arrays, tensor, array);
    return array;
}

/* Random values for all leaves; the same every time. */
UNUSED static IrValues lab_values(Lab *lab, int64_t batch) {
    IrValues values = {.batch = batch, .seed = 7, .step = 3};
    uint64_t saved = lab->random;
    lab->random = 1181783497276652981u;
    for (uint32_t i = 0; i < lab->m->tensors.len; i++) {
        const Tensor *tensor = lab->m->tensors.at[i];
        if (tensor->kind == TENSOR_LOCAL) continue;
        double *array = lab_array(lab, &values, tensor);
        for (int64_t k = 0; k < tensor_elements(tensor, batch); k++)
            array[k] = tensor->classes ? (double)lab_below(lab, tensor->classes) : lab_number(lab);
    }
    lab->random = saved;
    return values;
}

UNUSED static const double *lab_eval(Lab *lab, IrValues *values, const Tensor *tensor) {
    ir_eval(&lab->ctx, lab->m, values);
    return map_get(&values->arrays, tensor);
}

UNUSED static const char *lab_print(Lab *lab) {
    Text text = text_new(lab->ctx.arena);
    ir_print(&lab->ctx, &text, lab->m);
    return text_string(&text);
}

/* The values of all roots before and after ir_normalize are the same, and the result verifies. */
UNUSED static void lab_normalize(Lab *lab, int64_t batch) {
    Ctx *ctx = &lab->ctx;
    Module *m = lab->m;
    if (getenv("TRACE")) fputs(lab_print(lab), stderr);
    ir_verify(ctx, m, false);
    if (!ir_order(ctx, m)) return;
    IrValues before = lab_values(lab, batch);
    ir_eval(ctx, m, &before);
    ir_normalize(ctx, m);
    if (getenv("TRACE")) fputs(lab_print(lab), stderr);
    ir_verify(ctx, m, true);
    IrValues after = lab_values(lab, batch);
    ir_eval(ctx, m, &after);
    for (uint32_t i = 0; i < m->roots.len; i++) {
        const Tensor *tensor = m->roots.at[i].tensor;
        const double *a = map_get(&before.arrays, tensor), *b = map_get(&after.arrays, tensor);
        for (int64_t k = 0; k < tensor_elements(tensor, batch); k++) {
            test_checks++;
            if (a[k] == b[k] || fabs(a[k] - b[k]) <= 1e-9 * (1 + fabs(a[k]))) continue;
            test_failures++;
            printf("%s[%lld] was %.17g and is %.17g in\n%s", tensor->name, (long long)k, a[k], b[k],
                   lab_print(lab));
            return;
        }
    }
}

UNUSED static uint32_t lab_kind_count(Lab *lab, ExprKind kind) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < lab->m->equations.len; i++)
        n += lab->m->equations.at[i]->body->kind == kind;
    return n;
}

#endif
