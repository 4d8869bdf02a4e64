/* summary.c: what a model is made of and what it costs.
 *
 * A row is a layer, or an equation of the model's own. Names tell: `dense1.w` and `dense1.y.sum`
 * belong to `dense1`. A layer inside a layer has a row of its own when it has parameters of its
 * own, and counts for the outer one otherwise.
 *
 * The cost of a row is that of its equations, each operation once. The cost of a step is that of
 * its kernels: what is computed twice because that is faster counts twice.
 */
#include "session.h"

#include <string.h>

typedef struct Rows {
    Ctx *ctx;
    Vec(DlcSummaryRow) all;
    Map by_name; /* Sym → row number + 1 */
    Map layers;  /* Sym → itself: layers with parameters of their own */
} Rows;

/* The name up to its last dot; NULL when it has none. */
static Sym outer(Ctx *ctx, const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? sym_n(ctx, name, (size_t)(dot - name)) : NULL;
}

/* The row that a tensor belongs to. */
static Sym row_name(const Rows *rows, const char *name) {
    for (Sym prefix = outer(rows->ctx, name); prefix; prefix = outer(rows->ctx, prefix))
        if (map_get(&rows->layers, prefix)) return prefix;
    return sym_n(rows->ctx, name, strcspn(name, "."));
}

static DlcSummaryRow *row_of(Rows *rows, const char *tensor) {
    Sym name = row_name(rows, tensor);
    uintptr_t number = (uintptr_t)map_get(&rows->by_name, name);
    if (number) return &rows->all.at[number - 1];
    DlcSummaryRow fresh = {.name = name, .shape = ""};
    vec_push(rows->ctx->arena, &rows->all, fresh);
    map_set(rows->ctx->arena, &rows->by_name, name, (void *)(uintptr_t)rows->all.len);
    return &rows->all.at[rows->all.len - 1];
}

/* ---- operations ---------------------------------------------------------------------------- */

static void add_operation(void *data, const Expr *e) {
    double *n = data;
    if (e->kind == EX_OP && e->op.op != OP_STOP && e->type == TY_REAL) *n += 1;
}

static double operations(Ctx *ctx, const Expr *e) {
    double n = 0;
    ir_visit(ctx, e, add_operation, &n);
    return n;
}

static double extent_of(Index *const *indices, uint32_t n) {
    double points = 1;
    for (uint32_t i = 0; i < n; i++)
        if (indices[i]->extent != EXTENT_BATCH) points *= (double)indices[i]->extent;
    return points;
}

/* Of an equation in normal form, for one example. */
static double equation_flops(Ctx *ctx, const Equation *e) {
    double points = (double)tensor_elements(e->result, 1);
    switch (e->body->kind) {
    case EX_CONTRACT:
        return points * extent_of(e->body->contract.over, e->body->contract.nover) *
               e->body->contract.nfactors;
    case EX_REDUCE:
        return points * extent_of(e->body->reduce.over, e->body->reduce.nover) *
               (operations(ctx, e->body->reduce.body) + 1);
    default: return points * operations(ctx, e->body);
    }
}

double summary_kernel_flops(const Kernel *k, int64_t n) {
    double flops = k->flops + k->example_flops * (double)n;
    for (uint32_t i = 0; i < k->nsteps; i++) flops += summary_kernel_flops(k->steps[i], n);
    return flops;
}

double summary_pairs_flops(const Kernel *k, int64_t n) {
    double flops =
        k->blocking.pair || k->winograd.pairs ? k->flops + k->example_flops * (double)n : 0;
    for (uint32_t i = 0; i < k->nsteps; i++) flops += summary_pairs_flops(k->steps[i], n);
    return flops;
}

static double step_flops(const Function *f, int64_t n) {
    double flops = 0;
    for (uint32_t i = 0; f && i < f->kernels.len; i++)
        flops += summary_kernel_flops(f->kernels.at[i], n);
    return flops;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static void find_layers(Rows *rows, const Model *model) {
    for (uint32_t i = 0; i < model->params.len; i++) {
        Sym layer = outer(rows->ctx, model->params.at[i]->name);
        if (layer) map_set(rows->ctx->arena, &rows->layers, layer, (void *)layer);
    }
}

static void add_equations(Rows *rows, const Module *m) {
    for (uint32_t i = 0; i < m->equations.len; i++) {
        const Equation *e = m->equations.at[i];
        DlcSummaryRow *row = row_of(rows, e->result->name);
        row->shape = describe_shape(rows->ctx, e->result); /* of the last: the layer's value */
        row->flops += equation_flops(rows->ctx, e);
    }
}

static void add_parameters(Rows *rows, const Model *model) {
    for (uint32_t i = 0; i < model->params.len; i++) {
        const Tensor *param = model->params.at[i];
        DlcSummaryRow *row = row_of(rows, param->name);
        row->parameters += tensor_elements(param, 1);
        if (!row->shape[0]) row->shape = describe_shape(rows->ctx, param);
    }
}

const DlcSummary *summary_of(Ctx *ctx, const Planned *planned, int64_t batch) {
    const Model *model = planned->model;
    DlcSummary *out = ARENA_NEW(ctx->arena, DlcSummary);
    Rows rows = {.ctx = ctx};
    find_layers(&rows, model);
    add_equations(&rows, model->infer);
    add_parameters(&rows, model);
    *out = (DlcSummary){.model = model->name,
                        .batch = batch,
                        .flops = step_flops(planned->step, batch),
                        .params_bytes = planned->layout->params_bytes,
                        .state_bytes = planned->layout->state_bytes,
                        .arena_bytes = planned->step ? planned->step->arena_bytes : 0,
                        .inference_arena_bytes = planned->forward->arena_bytes,
                        .nrows = rows.all.len,
                        .rows = rows.all.at};
    for (size_t i = 0; i < out->nrows; i++) {
        out->parameters += out->rows[i].parameters;
        out->forward_flops += out->rows[i].flops;
    }
    return out;
}
