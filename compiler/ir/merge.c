/* ir/merge.c: equations that need not be.
 *
 * in:   an ordered module in (almost) normal form
 * out:  the same without equal equations, without tensors that only repeat elements of another
 * (`y[i, j] = x[j, i]`) and without constant ones; reads of them read the other or the number
 *
 * Tensors that the caller gets (roots, the loss, values of updates, gradients) keep their
 * equations. When such a one only repeats a local tensor, it takes over that tensor's equation.
 */
#include "ir/passes.h"

/* What a read of a tensor is to become: `number`, or a read of `to` whose subscript k is the read's
 * subscript from[k], or constants[k] where from[k] is -1. */
typedef struct Replacement {
    const Expr *number;
    Tensor *to;
    int32_t *from;
    const Expr **constants;
    bool whole; /* all dimensions are used: what is outside stays outside */
} Replacement;

/* An equation that others may be equal to. */
typedef struct Candidate {
    Equation *equation;
    const Expr *canonical; /* its body over canonical indices, once somebody asked */
    struct Candidate *next;
} Candidate;

typedef struct Merge {
    Ctx *ctx;
    Module *m;
    Map pinned;       /* tensors that keep their equations */
    Map replacements; /* Tensor* → Replacement* */
    Map candidates;   /* shape of the body → Candidate* */
    Map canonical;    /* Sym → Index*, see canonical_index */
} Merge;

/* ---- reading replaced tensors ---- */

static const Expr *replace_read(void *data, const Expr *e) {
    Merge *g = data;
    Ctx *ctx = g->ctx;
    if (e->kind != EX_READ) return NULL;
    const Replacement *r = map_get(&g->replacements, e->read.tensor);
    if (!r || (e->read.otherwise && !r->whole && e->read.otherwise != r->number)) return NULL;
    if (r->number) return r->number;
    uint32_t rank = r->to->rank;
    const Expr **subs = ARENA_ARRAY(ctx->scratch, const Expr *, rank + 1);
    for (uint32_t d = 0; d < rank; d++)
        subs[d] = r->from[d] < 0 ? r->constants[d]
                                 : ir_rewrite_reads(ctx, e->read.subs[r->from[d]], replace_read, g);
    const Expr *otherwise = e->read.otherwise;
    if (otherwise) otherwise = ir_rewrite_reads(ctx, otherwise, replace_read, g);
    const Expr *read = ir_read(ctx, r->to, subs, otherwise);
    const Expr *further = replace_read(g, read); /* what it repeats may be replaced as well */
    return further ? further : read;
}

static const Expr *replaced(Merge *g, const Expr *body) {
    const Reads *reads = ir_reads(g->ctx, body);
    for (uint32_t i = 0; i < reads->len; i++)
        if (map_has(&g->replacements, reads->at[i]->read.tensor))
            return ir_unwrap(ir_rewrite_reads(g->ctx, body, replace_read, g));
    return body;
}

/* ---- finding aliases ---- */

static int find_bare(const Equation *equation, const Expr *sub) {
    const Expr *atom = ir_unwrap(sub);
    for (uint32_t d = 0; atom->kind == EX_INDEX && d < equation->result->rank; d++)
        if (equation->free[d] == atom->index) return (int)d;
    return -1;
}

/* The equation as a replacement of its result: NULL when it computes something. */
static Replacement *as_replacement(Merge *g, const Equation *equation) {
    Ctx *ctx = g->ctx;
    const Expr *e = ir_unwrap(equation->body);
    bool repeats = e->kind == EX_READ && !e->read.otherwise && e->read.tensor != equation->result;
    if (!repeats && e->kind != EX_NUMBER) return NULL;
    Replacement *r = ARENA_NEW(ctx->scratch, Replacement);
    if (e->kind == EX_NUMBER) {
        r->number = e;
        return r;
    }
    r->to = e->read.tensor;
    if (r->to->classes != equation->result->classes) return NULL;
    uint32_t rank = r->to->rank, used = 0;
    r->from = ARENA_ARRAY(ctx->scratch, int32_t, rank + 1);
    r->constants = ARENA_ARRAY(ctx->scratch, const Expr *, rank + 1);
    for (uint32_t k = 0; k < rank; k++) {
        int64_t constant;
        r->from[k] = find_bare(equation, e->read.subs[k]);
        r->constants[k] = e->read.subs[k];
        if (r->from[k] < 0 && !ir_is_constant_int(e->read.subs[k], &constant)) return NULL;
        for (uint32_t i = 0; r->from[k] >= 0 && i < k; i++)
            if (r->from[i] == r->from[k]) return NULL;
        if (r->from[k] < 0) continue;
        used++;
        if (equation->result->dims[r->from[k]] != r->to->dims[k]) used = UINT32_MAX / 2;
    }
    r->whole = used == equation->result->rank;
    return r;
}

static Replacement *identity(Ctx *ctx, Tensor *to) {
    Replacement *r = ARENA_NEW(ctx->scratch, Replacement);
    r->to = to;
    r->whole = true;
    r->from = ARENA_ARRAY(ctx->scratch, int32_t, to->rank + 1);
    for (uint32_t d = 0; d < to->rank; d++) r->from[d] = (int32_t)d;
    return r;
}

static bool is_identity(const Replacement *r, const Tensor *result) {
    if (!r || r->number || !r->whole || r->to->rank != result->rank) return false;
    for (uint32_t d = 0; d < result->rank; d++)
        if (r->from[d] != (int32_t)d) return false;
    return true;
}

/* ---- finding equal equations ---- */

static bool same_results(const Tensor *a, const Tensor *b) {
    return a->rank == b->rank && a->classes == b->classes &&
           memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

/* The same index for all that stand at this position and run over this extent. */
static Index *canonical_index(Merge *g, const char *kind, uint32_t position, int64_t extent) {
    Ctx *ctx = g->ctx;
    Sym key = sym_printf(ctx, "%s%u:%lld", kind, position, (long long)extent);
    Index *index = map_get(&g->canonical, key);
    if (index) return index;
    index = ir_index(ctx, key, extent);
    map_set(ctx->scratch, &g->canonical, key, index);
    return index;
}

static Index **canonical_bound(Merge *g, Index *const *over, uint32_t nover) {
    Index **canonical = ARENA_ARRAY(g->ctx->scratch, Index *, nover + 1);
    for (uint32_t i = 0; i < nover; i++) canonical[i] = canonical_index(g, "", i, over[i]->extent);
    return canonical;
}

/* The body over canonical indices: equal bodies are then the same pointer. */
static const Expr *canonical_body(Merge *g, const Equation *equation) {
    Ctx *ctx = g->ctx;
    const Expr *e = equation->body;
    Map to = {0};
    for (uint32_t d = 0; d < equation->result->rank; d++) {
        Index *index = canonical_index(g, "free", d, equation->free[d]->extent);
        map_set(ctx->scratch, &to, equation->free[d], (void *)ir_index_value(ctx, index));
    }
    if (!ir_is_reduction(e)) return ir_substitute(ctx, e, &to);
    bool reduce = e->kind == EX_REDUCE;
    uint32_t nover = reduce ? e->reduce.nover : e->contract.nover;
    Index **over = reduce ? e->reduce.over : e->contract.over;
    Index **canonical = canonical_bound(g, over, nover);
    for (uint32_t i = 0; i < nover; i++)
        map_set(ctx->scratch, &to, over[i], (void *)ir_index_value(ctx, canonical[i]));
    const Expr *body = reduce ? e->reduce.body : e->contract.factors[0];
    for (uint32_t i = 1; !reduce && i < e->contract.nfactors; i++)
        body = ir_mul(ctx, body, e->contract.factors[i]);
    body = ir_substitute(ctx, body, &to);
    return ir_reduce(ctx, reduce ? e->reduce.op : REDUCE_SUM, canonical, nover, body);
}

/* The equation met before that is equal to this one. NULL: there is none, and this one is noted.
 * Only equations whose bodies have the same shape are compared. */
static const Equation *find_equal(Merge *g, Equation *equation) {
    Arena *scratch = g->ctx->scratch;
    const void *shape = (const void *)(uintptr_t)equation->body->shape;
    Candidate *own = ARENA_NEW(scratch, Candidate), *first = map_get(&g->candidates, shape);
    own->equation = equation;
    for (Candidate *other = first; other; other = other->next) {
        if (!same_results(equation->result, other->equation->result)) continue;
        if (!own->canonical) own->canonical = canonical_body(g, equation);
        if (!other->canonical) other->canonical = canonical_body(g, other->equation);
        if (own->canonical == other->canonical) return other->equation;
    }
    own->next = first;
    map_set(scratch, &g->candidates, shape, own);
    return NULL;
}

/* ---- the passes over the module ---- */

static void pin(Merge *g) {
    Module *m = g->m;
    Arena *scratch = g->ctx->scratch;
    for (uint32_t i = 0; i < m->roots.len; i++)
        map_set(scratch, &g->pinned, m->roots.at[i].tensor, m);
    for (uint32_t i = 0; i < m->updates.len; i++)
        map_set(scratch, &g->pinned, m->updates.at[i].value, m);
    for (uint32_t i = 0; i < m->gradients.len; i++)
        map_set(scratch, &g->pinned, m->gradients.entries[i].value, m);
    for (uint32_t i = 0; i < m->derivatives.len; i++) {
        map_set(scratch, &g->pinned, m->derivatives.at[i].of, m);
        map_set(scratch, &g->pinned, m->derivatives.at[i].by, m);
        map_set(scratch, &g->pinned, m->derivatives.at[i].result, m);
    }
    if (m->loss) map_set(scratch, &g->pinned, m->loss, m);
}

static void visit_equation(Merge *g, Equation *equation) {
    Ctx *ctx = g->ctx;
    Tensor *result = equation->result;
    equation->body = replaced(g, equation->body);
    bool pinned = map_has(&g->pinned, result);
    Replacement *r = as_replacement(g, equation);
    if (r) {
        if (!pinned) map_set(ctx->scratch, &g->replacements, result, r);
        return;
    }
    const Equation *equal = find_equal(g, equation);
    if (equal && pinned)
        equation->body = ir_read_at(ctx, equal->result, equation->free);
    else if (equal)
        map_set(ctx->scratch, &g->replacements, result, identity(ctx, equal->result));
}

/* A pinned tensor that repeats a local one takes over its equation. */
static void take_over(Merge *g, Equation *equation, Map *taken) {
    Module *m = g->m;
    Tensor *result = equation->result;
    if (!map_has(&g->pinned, result)) return;
    Replacement *r = as_replacement(g, equation);
    if (!is_identity(r, result) || map_has(&g->pinned, r->to) || map_has(taken, r->to)) return;
    if (r->to->kind != TENSOR_LOCAL || map_has(&g->replacements, r->to)) return;
    Equation *definition = ir_definition(m, r->to);
    if (!definition) return;
    Tensor *local = r->to;
    definition->result = result;
    equation->result = local; /* dropped by the caller */
    map_set(g->ctx->scratch, taken, local, result);
    map_set(g->ctx->arena, &m->definitions, result, definition);
    map_set(g->ctx->scratch, &g->replacements, local, identity(g->ctx, result));
}

static void drop_replaced(Merge *g) {
    Module *m = g->m;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->equations.len; i++) {
        Equation *equation = m->equations.at[i];
        bool own = ir_definition(m, equation->result) == equation;
        if (own) m->equations.at[kept++] = equation;
    }
    m->equations.len = kept;
    ir_find_definitions(g->ctx, m);
}

void ir_merge(Ctx *ctx, Module *m) {
    Merge g = {.ctx = ctx, .m = m};
    Map taken = {0};
    ArenaMark mark = arena_mark(ctx->scratch);
    pin(&g);
    for (uint32_t i = 0; i < m->equations.len; i++) visit_equation(&g, m->equations.at[i]);
    for (uint32_t i = 0; i < m->equations.len; i++) {
        Equation *equation = m->equations.at[i];
        take_over(&g, equation, &taken);
    }
    drop_replaced(&g);
    /* Again for all: in a recurrence reads go to equations further down. */
    for (uint32_t i = 0; i < m->equations.len; i++)
        m->equations.at[i]->body = replaced(&g, m->equations.at[i]->body);
    arena_release(ctx->scratch, mark);
}
