/* ir/advance.c: a model of sequences as a function of one element, with what it remembers as state.
 *
 * in:   a normal module and its one input, a sequence t[batch, T]
 * out:  a module for one example and one place of the sequence: the tensors without their batch and
 * their time; a read at the time before is the read of a state, which the module updates
 * Only a model whose value at a time depends on earlier times through recurrences alone has one:
 * every tensor over time is read at the same time, or by a recurrence at the time before.
 */
#include "ir/passes.h"

typedef struct Slice {
    uint32_t time;       /* the dimension that is the time, or 0: none (0 is the batch) */
    Tensor *now;         /* the tensor for one place */
    Tensor *before;      /* the state that holds its value at the time before */
    const Expr *initial; /* what is read before the first time */
} Slice;

typedef struct Advance {
    Ctx *ctx;
    const Module *from;
    Module *to;
    Map slices;          /* Tensor* → Slice* */
    Index *batch, *time; /* of the equation that is rewritten */
    bool failed;
} Advance;

static Slice *slice_of(Advance *a, const Tensor *tensor) {
    Slice *slice = map_get(&a->slices, tensor);
    if (slice) return slice;
    slice = ARENA_NEW(a->ctx->arena, Slice);
    map_set(a->ctx->arena, &a->slices, tensor, slice);
    return slice;
}

static bool is_batched(const Tensor *tensor) {
    return tensor->rank > 0 && tensor->dims[0] == EXTENT_BATCH;
}

/* ---- which dimension is the time ----------------------------------------------------------------
 */

typedef struct Timing {
    Advance *a;
    const Equation *equation;
    uint32_t time;
} Timing;

/* The index of a subscript that is one index and a constant; NULL for others. */
static Index *index_of(const Expr *sub, int64_t *offset) {
    if (sub->kind != EX_AFFINE || sub->affine.nterms != 1) return NULL;
    const Term *term = &sub->affine.terms[0];
    if (term->coefficient != 1 || term->atom->kind != EX_INDEX) return NULL;
    *offset = sub->affine.offset;
    return term->atom->index;
}

static void time_of_read(void *data, const Expr *e) {
    Timing *t = data;
    if (e->kind != EX_READ) return;
    const Slice *slice = slice_of(t->a, e->read.tensor);
    if (!slice->time) return;
    int64_t offset;
    Index *index = index_of(e->read.subs[slice->time], &offset);
    uint32_t d = 0;
    while (d < t->equation->result->rank && t->equation->free[d] != index) d++;
    bool fits = index && d < t->equation->result->rank && (!t->time || t->time == d);
    if (!fits)
        t->a->failed = true;
    else
        t->time = d;
}

static void find_times(Advance *a) {
    const Module *m = a->from;
    for (uint32_t i = 0; i < m->equations.len; i++)
        if (m->equations.at[i]->scan.group)
            slice_of(a, m->equations.at[i]->result)->time = m->equations.at[i]->scan.dim;
    for (uint32_t i = 0; i < m->equations.len && !a->failed; i++) {
        const Equation *equation = m->equations.at[i];
        Timing t = {a, equation, slice_of(a, equation->result)->time};
        ir_visit(a->ctx, equation->body, time_of_read, &t);
        if (equation->scan.group && equation->scan.direction < 0) a->failed = true;
        slice_of(a, equation->result)->time = t.time;
    }
}

/* ---- tensors for one place
 * ------------------------------------------------------------------------ */

static Tensor *new_tensor(Advance *a, TensorKind kind, const Tensor *tensor, Sym name) {
    uint32_t time = slice_of(a, tensor)->time, rank = 0;
    int64_t *dims = ARENA_ARRAY(a->ctx->arena, int64_t, tensor->rank + 1);
    for (uint32_t d = is_batched(tensor); d < tensor->rank; d++)
        if (!time || d != time) dims[rank++] = tensor->dims[d];
    return ir_tensor(a->ctx, a->to, kind, name, rank, dims, tensor->classes, tensor->span);
}

static Tensor *now_of(Advance *a, Tensor *tensor) {
    Slice *slice = slice_of(a, tensor);
    if (slice->now) return slice->now;
    if (tensor->kind == TENSOR_PARAM || tensor->kind == TENSOR_STATE) {
        ir_use_tensor(a->ctx, a->to, tensor);
        return slice->now = tensor;
    }
    return slice->now = new_tensor(a, tensor->kind, tensor, tensor->name);
}

static const Expr *slice_read(void *data, const Expr *e);

static const Expr *read_before(Advance *a, Tensor *tensor, const Expr *otherwise,
                               const Expr *const *subs) {
    Slice *slice = slice_of(a, tensor);
    bool constant = otherwise && otherwise->kind == EX_NUMBER;
    if (!constant || (slice->initial && slice->initial != otherwise)) {
        a->failed = true;
        return ir_number(a->ctx, 0);
    }
    slice->initial = otherwise;
    if (!slice->before)
        slice->before =
            new_tensor(a, TENSOR_STATE, tensor, sym_printf(a->ctx, "before.%s", tensor->name));
    return ir_read(a->ctx, slice->before, subs, NULL);
}

static const Expr *slice_read(void *data, const Expr *e) {
    Advance *a = data;
    if (e->kind == EX_BATCH || e->kind == EX_DRAW || e->kind == EX_STEP) a->failed = true;
    if (e->kind != EX_READ || a->failed) return NULL;
    Tensor *tensor = e->read.tensor;
    const Slice *slice = slice_of(a, tensor);
    const Expr **subs = ARENA_ARRAY(a->ctx->arena, const Expr *, tensor->rank + 1);
    uint32_t n = 0;
    int64_t offset = 0;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        int64_t at = 0;
        if (d == 0 && is_batched(tensor)) {
            if (index_of(e->read.subs[d], &at) != a->batch || at) a->failed = true;
        } else if (slice->time && d == slice->time) {
            if (index_of(e->read.subs[d], &offset) != a->time) a->failed = true;
        } else {
            subs[n++] = ir_rewrite_reads(a->ctx, e->read.subs[d], slice_read, a);
        }
    }
    if (offset == -1) return read_before(a, tensor, e->read.otherwise, subs);
    if (offset != 0) a->failed = true;
    const Expr *otherwise =
        e->read.otherwise ? ir_rewrite_reads(a->ctx, e->read.otherwise, slice_read, a) : NULL;
    return ir_read(a->ctx, now_of(a, tensor), subs, otherwise);
}

/* ---- equations
 * -------------------------------------------------------------------------------------- */

static void slice_equation(Advance *a, const Equation *equation) {
    Tensor *result = equation->result;
    uint32_t time = slice_of(a, result)->time, n = 0;
    Index **free = ARENA_ARRAY(a->ctx->arena, Index *, result->rank + 1);
    a->batch = is_batched(result) ? equation->free[0] : NULL;
    a->time = time ? equation->free[time] : NULL;
    for (uint32_t d = is_batched(result); d < result->rank; d++)
        if (!time || d != time) free[n++] = equation->free[d];
    const Expr *body = ir_rewrite_reads(a->ctx, equation->body, slice_read, a);
    bool uses =
        (a->batch && ir_uses_index(body, a->batch)) || (a->time && ir_uses_index(body, a->time));
    if (uses) a->failed = true; /* a position as a number */
    if (!a->failed) ir_define(a->ctx, a->to, now_of(a, result), free, body, equation->span);
}

static void add_states(Advance *a, Module *start, Tensors *states) {
    Ctx *ctx = a->ctx;
    for (uint32_t i = 0; i < a->slices.len; i++) {
        Slice *slice = a->slices.entries[i].value;
        if (!slice->before) continue;
        vec_push(ctx->arena, states, slice->before);
        Update next = {slice->before, slice->now};
        vec_push(ctx->arena, &a->to->updates, next);
        Tensor *first =
            ir_tensor(ctx, start, TENSOR_LOCAL, sym_printf(ctx, "first.%s", slice->now->name),
                      slice->before->rank, slice->before->dims, 0, slice->before->span);
        ir_define(ctx, start, first, ir_free_indices(ctx, first, NULL), slice->initial,
                  first->span);
        ir_use_tensor(ctx, start, slice->before);
        Update initial = {slice->before, first};
        vec_push(ctx->arena, &start->updates, initial);
    }
}

Module *ir_advance(Ctx *ctx, const Module *m, Tensor *sequence, Module **start, Tensor **input,
                   Tensors *states) {
    Advance a = {.ctx = ctx, .from = m, .to = ir_module(ctx, m->name)};
    if (sequence->rank != 2 || !is_batched(sequence)) return NULL;
    slice_of(&a, sequence)->time = 1;
    find_times(&a);
    bool recurs = false;
    for (uint32_t i = 0; i < m->equations.len && !a.failed; i++) {
        recurs |= m->equations.at[i]->scan.group > 0;
        slice_equation(&a, m->equations.at[i]);
    }
    if (a.failed || !recurs) return NULL;
    for (uint32_t i = 0; i < m->roots.len; i++) {
        Root root = {m->roots.at[i].name, now_of(&a, m->roots.at[i].tensor)};
        vec_push(ctx->arena, &a.to->roots, root);
    }
    *start = ir_module(ctx, m->name);
    *input = now_of(&a, sequence);
    add_states(&a, *start, states);
    return a.to;
}
