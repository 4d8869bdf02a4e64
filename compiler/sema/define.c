/* sema/define.c: values to tensors with equations.
 *
 * A tensor has the dimensions that are written, and in front of them hidden ones: the batch, where
 * its value depends on an input, then other indices that a call stands under. Reading it supplies
 * these.
 */
#include "sema/private.h"

/* Larger tensors would not fit any machine; products of two such sizes still fit in 64 bits. */
static const int64_t max_elements = (int64_t)1 << 40;

/* The batch, which is no dimension that the user wrote, stands in front alone. */
bool check_dims(Ctx *ctx, Span span, const char *name, const int64_t *dims, uint32_t rank) {
    bool batched = rank && dims[0] == EXTENT_BATCH;
    int64_t elements = 1;
    for (uint32_t d = 0; d < rank; d++) {
        if (d == 0 && batched) continue;
        if (dims[d] < 1) {
            diag_error(ctx, span, "dimension %u of `%s` would be %lld; it must be at least 1",
                       d + !batched, name, (long long)dims[d]);
            return false;
        }
        if (__builtin_mul_overflow(elements, dims[d], &elements) || elements > max_elements) {
            diag_error(ctx, span, "`%s` is too large: it has more than %lld elements", name,
                       (long long)max_elements);
            return false;
        }
    }
    return true;
}

Value value_tensor(Ctx *ctx, Tensor *tensor, uint32_t nhidden, const Expr *const *hidden) {
    Value v = {.kind = VALUE_TENSOR, .tensor = tensor, .nhidden = nhidden};
    v.rank = tensor->rank - nhidden;
    v.at = ARENA_ARRAY(ctx->scratch, Index *, v.rank + 1);
    v.hidden = arena_copy(ctx->scratch, hidden, nhidden * sizeof *hidden);
    const Expr **subs = ARENA_ARRAY(ctx->scratch, const Expr *, tensor->rank + 1);
    for (uint32_t d = 0; d < nhidden; d++) subs[d] = hidden[d];
    for (uint32_t d = 0; d < v.rank; d++) {
        v.at[d] = ir_index(ctx, sym_printf(ctx, "e%u", d), tensor->dims[nhidden + d]);
        subs[nhidden + d] = ir_index_value(ctx, v.at[d]);
    }
    v.expr = ir_read(ctx, tensor, subs, NULL);
    return v;
}

/* ---- the indices that an expression depends on --------------------------------------------- */

typedef struct Free {
    Ctx *ctx;
    Map bound, seen;
    Vec(Index *) all;
} Free;

static void note_index(void *data, const Expr *e) {
    Free *f = data;
    if (e->kind == EX_INDEX) {
        if (map_has(&f->seen, e->index)) return;
        map_set(f->ctx->scratch, &f->seen, e->index, e->index);
        vec_push(f->ctx->scratch, &f->all, e->index);
        return;
    }
    Index **over = NULL;
    uint32_t n = 0;
    if (e->kind == EX_REDUCE) over = e->reduce.over, n = e->reduce.nover;
    if (e->kind == EX_CONTRACT) over = e->contract.over, n = e->contract.nover;
    for (uint32_t i = 0; i < n; i++) map_set(f->ctx->scratch, &f->bound, over[i], over[i]);
}

static bool is_among(const Index *index, Index *const *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == index) return true;
    return false;
}

/* The indices of `e` that are neither bound in it nor in `at`; the batch first. */
static uint32_t hidden_indices(Ctx *ctx, const Expr *e, Index *const *at, uint32_t rank,
                               Index ***hidden) {
    Free f = {.ctx = ctx};
    ir_visit(ctx, e, note_index, &f);
    Index **list = ARENA_ARRAY(ctx->scratch, Index *, f.all.len + 1);
    uint32_t n = 0;
    for (int batch = 1; batch >= 0; batch--)
        for (uint32_t i = 0; i < f.all.len; i++) {
            Index *index = f.all.at[i];
            if ((index->extent == EXTENT_BATCH) != batch || map_has(&f.bound, index)) continue;
            if (!is_among(index, at, rank)) list[n++] = index;
        }
    *hidden = list;
    return n;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* A truth value or a whole number in the form it is stored in; the classes of its tensor. */
static const Expr *stored(Ctx *ctx, const Expr *e, bool real, int64_t *classes, bool *is_truth) {
    *classes = 0;
    *is_truth = e->type == TY_BOOL && !real;
    if (e->type == TY_BOOL) {
        *classes = real ? 0 : 2;
        e = ir_select(ctx, e, ir_int(ctx, 1), ir_int(ctx, 0));
    }
    if (e->type == TY_REAL) return e;
    int64_t low, high, value;
    ir_bounds(e, &low, &high);
    if (!*is_truth && !ir_is_constant_int(e, &value) && !real && low >= 0 && high < INT32_MAX)
        *classes = high + 1;
    return *classes ? e : ir_real(ctx, e);
}

static Value defined(Ctx *ctx, Tensor *tensor, Index *const *hidden, uint32_t nhidden,
                     bool is_truth) {
    const Expr **subs = ARENA_ARRAY(ctx->scratch, const Expr *, nhidden + 1);
    for (uint32_t i = 0; i < nhidden; i++) subs[i] = ir_index_value(ctx, hidden[i]);
    Value v = value_tensor(ctx, tensor, nhidden, subs);
    v.is_truth = is_truth;
    const Expr *one[] = {v.expr, ir_int(ctx, 1)};
    if (is_truth) v.expr = ir_op(ctx, OP_EQ, one);
    return v;
}

static Tensor *new_tensor(Expander *x, const char *name, Index *const *all, uint32_t rank,
                          int64_t classes, Span span) {
    int64_t *dims = ARENA_ARRAY(x->ctx->scratch, int64_t, rank + 1);
    for (uint32_t d = 0; d < rank; d++) dims[d] = all[d]->extent;
    if (!check_dims(x->ctx, span, name, dims, rank)) return NULL;
    return ir_tensor(x->ctx, x->m, TENSOR_LOCAL, sym(x->ctx, name), rank, dims, classes, span);
}

void define_early(const Place *p, Binding *b) {
    Expander *x = p->x;
    Scope *scope = b->scope;
    Index **all = ARENA_ARRAY(x->ctx->scratch, Index *, b->rank + scope->around.len + 2);
    if (scope->batch) all[b->nhidden++] = scope->batch;
    for (uint32_t i = 0; i < scope->around.len; i++) all[b->nhidden++] = scope->around.at[i];
    b->hidden = arena_copy(x->ctx->scratch, all, b->nhidden * sizeof *all);
    for (uint32_t d = 0; d < b->rank; d++) all[b->nhidden + d] = b->at[d];
    const char *name = arena_printf(x->ctx->arena, "%s%s", scope->path, b->name);
    b->early = new_tensor(x, name, all, b->nhidden + b->rank, 0, b->span);
}

Value define_tensor(const Place *p, const char *name, Index *const *at, uint32_t rank,
                    const Expr *expr, Span span, Binding *early) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    Index **hidden;
    uint32_t nhidden = hidden_indices(ctx, expr, at, rank, &hidden);
    if (early) {
        for (uint32_t i = 0; i < nhidden; i++)
            DLC_ASSERT(ctx, is_among(hidden[i], early->hidden, early->nhidden), span);
        hidden = early->hidden, nhidden = early->nhidden;
    }
    if (nhidden > 1 && hidden[1]->extent == EXTENT_BATCH) {
        diag_error(ctx, span,
                   "this depends on two examples of the batch at once; reduce over one of "
                   "them first");
        return value_error();
    }
    uint32_t n = nhidden + rank;
    Index **free = ARENA_ARRAY(ctx->scratch, Index *, n + 1);
    Map fresh = {0};
    for (uint32_t i = 0; i < n; i++) {
        Index *old = i < nhidden ? hidden[i] : at[i - nhidden];
        free[i] = ir_index(ctx, old->name, old->extent);
        map_set(ctx->scratch, &fresh, old, (void *)ir_index_value(ctx, free[i]));
    }
    int64_t classes;
    bool is_truth;
    expr = stored(ctx, expr, early != NULL, &classes, &is_truth);
    expr = place_draws(x, ir_substitute(ctx, expr, &fresh), free, n);
    Tensor *tensor = early ? early->early : new_tensor(x, name, free, n, classes, span);
    if (!tensor) return value_error();
    ir_define(ctx, x->m, tensor, free, expr, diag_place(ctx, span));
    return defined(ctx, tensor, hidden, nhidden, is_truth);
}

void define_number(Expander *x, Tensor *tensor, const Expr *expr, Span span) {
    Index **hidden;
    if (hidden_indices(x->ctx, expr, NULL, 0, &hidden)) {
        diag_error(
            x->ctx, span,
            "what is summed over parameters may not depend on `%s`, which is bound around it",
            hidden[0]->name);
        return;
    }
    ir_define(x->ctx, x->m, tensor, NULL, place_draws(x, expr, NULL, 0), diag_place(x->ctx, span));
}

Value materialise(const Place *p, Value v, const char *name, Span span) {
    if (v.kind != VALUE_TENSOR || v.tensor || value_is_constant(&v)) return v;
    return define_tensor(p, name, v.at, v.rank, v.expr, span, NULL);
}
