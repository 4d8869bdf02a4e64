/* codegen/linear.c: the address of an element as a sum over indices, and which loops are one.
 *
 * A read x[batch, i, j] of a tensor [n, 28, 28] lies 784*batch + 28*i + j elements behind the
 * first. Where all uses of two adjacent loops i, j have coefficients in the proportion of their
 * row-major position (28 : 1 here), one loop over 28*28 turns visits the same elements with i = 0
 * and j running on: inner loops get long, and tails rare.
 */
#include "codegen/emit.h"

/* ---- sums ----------------------------------------------------------------------------------- */

static void add_term(Gen *g, Linear *sum, int64_t coefficient, const Expr *atom) {
    uint32_t i = 0;
    while (i < sum->terms.len && sum->terms.at[i].atom != atom) i++;
    if (i == sum->terms.len) {
        vec_push(g->ctx->arena, &sum->terms, ((Term){coefficient, atom}));
        return;
    }
    sum->terms.at[i].coefficient += coefficient;
    if (sum->terms.at[i].coefficient == 0) sum->terms.at[i] = sum->terms.at[--sum->terms.len];
}

static void add_affine(Gen *g, Linear *sum, int64_t factor, const Expr *e) {
    if (e->kind != EX_AFFINE) {
        add_term(g, sum, factor, e);
        return;
    }
    sum->offset += factor * e->affine.offset;
    for (uint32_t i = 0; i < e->affine.nterms; i++)
        add_term(g, sum, factor * e->affine.terms[i].coefficient, e->affine.terms[i].atom);
}

static uint32_t opaque_terms(const Linear *sum) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < sum->terms.len; i++) n += sum->terms.at[i].atom->kind != EX_INDEX;
    return n;
}

/* c*(a mod n) = c*a - c*n*floor(a/n): taken where the quotient then cancels against another. */
static bool recombine_one(Gen *g, Linear *sum) {
    for (uint32_t i = 0; i < sum->terms.len; i++) {
        const Expr *atom = sum->terms.at[i].atom;
        if (atom->kind != EX_MOD) continue;
        int64_t c = sum->terms.at[i].coefficient, n = atom->div.den;
        Linear trial = {.offset = sum->offset};
        for (uint32_t j = 0; j < sum->terms.len; j++)
            if (j != i) vec_push(g->ctx->arena, &trial.terms, sum->terms.at[j]);
        add_affine(g, &trial, c, atom->div.num);
        add_affine(g, &trial, -c * n, ir_floordiv(g->ctx, atom->div.num, n));
        if (opaque_terms(&trial) >= opaque_terms(sum)) continue;
        *sum = trial;
        return true;
    }
    return false;
}

static void recombine(Gen *g, Linear *sum) {
    while (recombine_one(g, sum)) {
    }
}

const Expr *const *linear_subs(Gen *g, const Store *store) {
    const Expr **subs = ARENA_ARRAY(g->ctx->arena, const Expr *, store->tensor->rank + 1);
    for (uint32_t d = 0; d < store->tensor->rank; d++)
        subs[d] = ir_index_value(g->ctx, store->at[d]);
    return subs;
}

Linear linear_address(Gen *g, const Tensor *tensor, const Expr *const *subs) {
    Linear sum = {0};
    int64_t *strides = ARENA_ARRAY(g->ctx->arena, int64_t, tensor->rank + 1);
    plan_strides(g->function, tensor, strides);
    for (uint32_t d = 0; d < tensor->rank; d++) add_affine(g, &sum, strides[d], subs[d]);
    recombine(g, &sum);
    return sum;
}

/* ---- which loops are one ----------------------------------------------------------------------
 */

/* How the expressions of a kernel use its indices. */
typedef struct Uses {
    Gen *g;
    const Kernel *kernel;
    Index *const *indices;
    uint32_t nindices;
    bool *opaque;        /* used other than in an address */
    bool *asked;         /* by index: compared with a constant */
    Vec(int64_t *) sums; /* the coefficients of the indices in one address */
} Uses;

static void mark_opaque(Uses *uses, const Expr *e) {
    switch (e->kind) {
    case EX_AFFINE:
        for (uint32_t i = 0; i < e->affine.nterms; i++) mark_opaque(uses, e->affine.terms[i].atom);
        return;
    case EX_INDEX:
        for (uint32_t i = 0; i < uses->nindices; i++)
            if (uses->indices[i] == e->index) uses->opaque[i] = true;
        return;
    case EX_FLOORDIV:
    case EX_MOD: mark_opaque(uses, e->div.num); return;
    case EX_OP: /* its integers are marked when it is visited itself */
    case EX_READ:
    case EX_NUMBER:
    case EX_TRUTH:
    case EX_REAL:
    case EX_REDUCE:
    case EX_CONTRACT:
    case EX_DRAW:
    case EX_STEP:
    case EX_BATCH: return;
    }
}

static void use_sum(Uses *uses, const Linear *sum) {
    int64_t *coefficients = ARENA_ARRAY(uses->g->ctx->arena, int64_t, uses->nindices + 1);
    for (uint32_t t = 0; t < sum->terms.len; t++) {
        const Expr *atom = sum->terms.at[t].atom;
        if (atom->kind != EX_INDEX) mark_opaque(uses, atom);
        for (uint32_t i = 0; i < uses->nindices; i++)
            if (atom->kind == EX_INDEX && uses->indices[i] == atom->index)
                coefficients[i] = sum->terms.at[t].coefficient;
    }
    vec_push(uses->g->ctx->arena, &uses->sums, coefficients);
}

static void use_read(Uses *uses, const Expr *e) {
    const Tensor *tensor = e->read.tensor;
    if (plan_accumulates(uses->kernel, tensor)) return; /* at the free indices by definition */
    for (uint32_t d = 0; d < tensor->rank; d++)
        if (!ir_inside(uses->g->ctx, e->read.subs[d], tensor->dims[d], NULL, 0))
            mark_opaque(uses, e->read.subs[d]);
    Linear sum = linear_address(uses->g, tensor, e->read.subs);
    use_sum(uses, &sum);
}

/* Is an index compared with a constant? */
static void use_question(Uses *uses, const Expr *e) {
    if (e->kind != EX_OP || e->op.op != OP_EQ) return;
    for (uint32_t side = 0; side < 2; side++) {
        const Expr *other = e->op.args[1 - side];
        const Index *index = plan_index_alone(e->op.args[side]);
        if (!index || other->kind != EX_AFFINE || other->affine.nterms) continue;
        for (uint32_t i = 0; i < uses->nindices; i++)
            if (uses->indices[i] == index) uses->asked[i] = true;
    }
}

static void use_expression(void *data, const Expr *e) {
    Uses *uses = data;
    use_question(uses, e);
    if (e->kind == EX_READ) use_read(uses, e);
    if (e->kind == EX_REAL) mark_opaque(uses, e->integer);
    if (e->kind == EX_DRAW) {
        Linear sum = {0};
        add_affine(uses->g, &sum, 1, e->draw.counter);
        recombine(uses->g, &sum);
        use_sum(uses, &sum);
    }
    for (uint32_t i = 0; e->kind == EX_OP && i < e->op.nargs; i++)
        if (e->op.args[i]->type == TY_INT) mark_opaque(uses, e->op.args[i]);
}

static void use_kernel(Uses *uses, const Kernel *k) {
    Ctx *ctx = uses->g->ctx;
    uses->kernel = k;
    if (k->body) ir_visit(ctx, k->body, use_expression, uses);
    for (uint32_t i = 0; i < k->nalso; i++) ir_visit(ctx, k->also[i].body, use_expression, uses);
    if (k->row) ir_visit(ctx, k->row, use_expression, uses);
    if (k->row) mark_opaque(uses, k->row);
    for (uint32_t i = 0; i < k->nstores; i++) {
        const Store *store = &k->stores[i];
        ir_visit(ctx, store->value, use_expression, uses);
        use_expression(uses, ir_read_at(ctx, store->tensor, store->at));
    }
    for (uint32_t i = 0; i < k->nsteps; i++) use_kernel(uses, k->steps[i]);
}

/* May indices i and i + 1 run as one? */
static bool merges(const Uses *uses, uint32_t i) {
    int64_t inner = uses->indices[i + 1]->extent;
    if (inner == EXTENT_BATCH || uses->opaque[i] || uses->opaque[i + 1]) return false;
    for (uint32_t s = 0; s < uses->sums.len; s++)
        if (uses->sums.at[s][i] != inner * uses->sums.at[s][i + 1]) return false;
    return true;
}

Axes linear_axes(Gen *g, const Kernel *k, Index *const *indices, uint32_t nindices) {
    Uses uses = {.g = g, .indices = indices, .nindices = nindices};
    uses.opaque = ARENA_ARRAY(g->ctx->arena, bool, nindices + 1);
    uses.asked = ARENA_ARRAY(g->ctx->arena, bool, nindices + 1);
    use_kernel(&uses, k);
    Axes axes = {.at = ARENA_ARRAY(g->ctx->arena, Axis, nindices + 1)};
    uint32_t vector = UINT32_MAX;
    for (uint32_t i = 0; i < nindices; i++) {
        Index *index = indices[i];
        const Range *range = map_get(&g->ranges, index);
        Axis *last = axes.len ? &axes.at[axes.len - 1] : NULL;
        if (i > 0 && !range && merges(&uses, i - 1)) {
            LLVMValueRef inner = gen_i64(g, index->extent);
            last->extent = LLVMBuildNSWMul(g->b, last->extent, inner, "");
            if (last->first) last->first = LLVMBuildNSWMul(g->b, last->first, inner, "");
            last->turns = last->turns < 0 ? -1 : last->turns * index->extent;
            last->index = index;
            last->nmerged++;
        } else {
            last = &axes.at[axes.len++];
            *last = (Axis){.index = index,
                           .merged = ARENA_ARRAY(g->ctx->arena, Index *, nindices),
                           .nmerged = 1,
                           .turns = gen_turns(g, index),
                           .extent = gen_extent(g, index),
                           .is_asked = uses.asked[i]};
            if (range) {
                last->first = range->first;
                last->turns = range->turns;
                last->extent = range->extent;
            }
        }
        last->merged[last->nmerged - 1] = index;
        if (index == k->vector) vector = axes.len - 1;
    }
    axes.vector = vector == UINT32_MAX ? axes.len : vector;
    uint32_t weight = scalar_stores_weight(g, k) + (k->body ? scalar_weight(g, k->body) : 0);
    axes.compact = g->machine->vector_bytes == 64 && weight > LINEAR_COMPACT_FROM;
    return axes;
}
