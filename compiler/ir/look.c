/* ir/look.c: questions about expressions, and rebuilding them. All are memoised over the shared
 * nodes. */
#include "ir/passes.h"
#include "ir/private.h"

bool ir_is_number(const Expr *e, double value) {
    return e->kind == EX_NUMBER && e->number == value;
}

bool ir_is_constant_int(const Expr *e, int64_t *value) {
    if (e->kind != EX_AFFINE || e->affine.nterms) return false;
    *value = e->affine.offset;
    return true;
}

/* ---- visiting -------------------------------------------------------------------------------- */

typedef struct Visit {
    Ctx *ctx;
    Memo *seen;
    void (*visit)(void *data, const Expr *e);
    void *data;
} Visit;

static void visit_one(void *data, const Expr *e) {
    Visit *v = data;
    const Expr **seen = ir_memo(v->ctx, v->seen, e);
    if (*seen) return;
    *seen = e;
    ir_each_child(e, visit_one, v);
    v->visit(v->data, e);
}

void ir_visit(Ctx *ctx, const Expr *e, void (*visit)(void *data, const Expr *e), void *data) {
    Visit v = {.ctx = ctx, .seen = ir_memo_begin(ctx), .visit = visit, .data = data};
    visit_one(&v, e);
    ir_memo_end(ctx, v.seen);
}

static void note_reads(Visit *v, const Expr *e);

static void note_reads_in(void *data, const Expr *child) {
    note_reads(data, child);
}

static void note_reads(Visit *v, const Expr *e) {
    if (!(e->has & HAS_READ)) return;
    const Expr **seen = ir_memo(v->ctx, v->seen, e);
    if (*seen) return;
    *seen = e;
    ir_each_child(e, note_reads_in, v);
    Reads *reads = v->data;
    if (e->kind == EX_READ) vec_push(v->ctx->arena, reads, e);
}

const Reads *ir_reads(Ctx *ctx, const Expr *e) {
    static const Reads none = {0};
    if (!(e->has & HAS_READ)) return &none;
    IrContext *ir = ir_context(ctx);
    Reads *reads = map_get(&ir->reads, e);
    if (reads) return reads;
    reads = ARENA_NEW(ctx->arena, Reads);
    map_set(ctx->arena, &ir->reads, e, reads);
    Visit v = {.ctx = ctx, .seen = ir_memo_begin(ctx), .data = reads};
    note_reads(&v, e);
    ir_memo_end(ctx, v.seen);
    return reads;
}

/* A memo of fixed size that may forget: this question is asked often and of small expressions. */
enum { REMEMBERED = 128 };

typedef struct Uses {
    const Expr *seen[REMEMBERED];
    const Index *index;
    const Tensor *tensor;
    bool found;
} Uses;

static bool may_use(const Expr *e, const Index *index, const Tensor *tensor) {
    return tensor ? e->has & HAS_READ : e->indices >> index->id % 64 & 1;
}

static void look_for(void *data, const Expr *e) {
    Uses *u = data;
    if (u->found || !may_use(e, u->index, u->tensor)) return;
    if (e->kind == EX_INDEX) {
        u->found = u->index == e->index;
        return;
    }
    if (e->kind == EX_READ && u->tensor == e->read.tensor) {
        u->found = true;
        return;
    }
    if (u->seen[e->id % REMEMBERED] == e) return;
    u->seen[e->id % REMEMBERED] = e;
    ir_each_child(e, look_for, u);
}

static bool uses(const Expr *e, const Index *index, const Tensor *tensor) {
    if (!may_use(e, index, tensor)) return false;
    Uses u = {.index = index, .tensor = tensor};
    look_for(&u, e);
    return u.found;
}

bool ir_uses_index(const Expr *e, const Index *index) {
    return uses(e, index, NULL);
}
bool ir_uses_tensor(const Expr *e, const Tensor *tensor) {
    return uses(e, NULL, tensor);
}

/* ---- rebuilding --------------------------------------------------------------------------------
 *
 * What has no part that changes is the expression itself: it was made of the same parts by the same
 * constructor.
 */

typedef struct Rewrite {
    Ctx *ctx;
    Memo *done;
    bool all;         /* everything may change; otherwise only */
    uint32_t has;     /* what has these kinds or */
    uint64_t indices; /* these indices (their bits) */
    const Expr *(*change)(void *data, const Expr *e);
    void *data;
} Rewrite;

static bool may_change(const Rewrite *r, const Expr *e) {
    return r->all || (e->has & r->has) || (e->indices & r->indices);
}

static const Expr *rewrite(Rewrite *r, const Expr *e);

enum { FEW = 8 }; /* terms or dimensions, for which there is room on the stack */

static const Expr *rewrite_affine(Rewrite *r, const Expr *e) {
    const Term *terms = e->affine.terms;
    uint32_t n = e->affine.nterms, same = 0;
    while (same < n && rewrite(r, terms[same].atom) == terms[same].atom) same++;
    if (same == n) return e;
    const Expr *few[FEW], **atoms = few;
    int64_t few_factors[FEW], *factors = few_factors;
    if (n > FEW) {
        atoms = ARENA_ARRAY(r->ctx->arena, const Expr *, n);
        factors = ARENA_ARRAY(r->ctx->arena, int64_t, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        atoms[i] = rewrite(r, terms[i].atom);
        factors[i] = terms[i].coefficient;
    }
    return ir_int_sum(r->ctx, e->affine.offset, atoms, factors, n);
}

static const Expr *rewrite_read(Rewrite *r, const Expr *e) {
    uint32_t rank = e->read.tensor->rank, same = 0;
    while (same < rank && rewrite(r, e->read.subs[same]) == e->read.subs[same]) same++;
    const Expr *otherwise = e->read.otherwise ? rewrite(r, e->read.otherwise) : NULL;
    if (same == rank && otherwise == e->read.otherwise) return e;
    const Expr *few[FEW], **subs = few;
    if (rank > FEW) subs = ARENA_ARRAY(r->ctx->arena, const Expr *, rank);
    for (uint32_t d = 0; d < rank; d++) subs[d] = rewrite(r, e->read.subs[d]);
    return ir_read(r->ctx, e->read.tensor, subs, otherwise);
}

static const Expr *rewrite_op(Rewrite *r, const Expr *e) {
    const Expr *args[3];
    bool same = true;
    for (uint32_t i = 0; i < e->op.nargs; i++) {
        args[i] = rewrite(r, e->op.args[i]);
        same &= args[i] == e->op.args[i];
    }
    return same ? e : ir_op(r->ctx, e->op.op, args);
}

static const Expr *rewrite_contract(Rewrite *r, const Expr *e) {
    uint32_t n = e->contract.nfactors, same = 0;
    while (same < n && rewrite(r, e->contract.factors[same]) == e->contract.factors[same]) same++;
    if (same == n) return e;
    const Expr *body = rewrite(r, e->contract.factors[0]);
    for (uint32_t i = 1; i < n; i++)
        body = ir_mul(r->ctx, body, rewrite(r, e->contract.factors[i]));
    return ir_reduce(r->ctx, REDUCE_SUM, e->contract.over, e->contract.nover, body);
}

static const Expr *rewrite_children(Rewrite *r, const Expr *e) {
    Ctx *ctx = r->ctx;
    const Expr *part;
    switch (e->kind) {
    case EX_NUMBER:
    case EX_TRUTH:
    case EX_INDEX:
    case EX_STEP:
    case EX_BATCH: return e;
    case EX_AFFINE: return rewrite_affine(r, e);
    case EX_FLOORDIV:
        part = rewrite(r, e->div.num);
        return part == e->div.num ? e : ir_floordiv(ctx, part, e->div.den);
    case EX_MOD:
        part = rewrite(r, e->div.num);
        return part == e->div.num ? e : ir_mod(ctx, part, e->div.den);
    case EX_REAL: part = rewrite(r, e->integer); return part == e->integer ? e : ir_real(ctx, part);
    case EX_OP: return rewrite_op(r, e);
    case EX_READ: return rewrite_read(r, e);
    case EX_REDUCE:
        part = rewrite(r, e->reduce.body);
        if (part == e->reduce.body) return e;
        return ir_reduce(ctx, e->reduce.op, e->reduce.over, e->reduce.nover, part);
    case EX_CONTRACT: return rewrite_contract(r, e);
    case EX_DRAW:
        part = rewrite(r, e->draw.counter);
        return part == e->draw.counter ? e : ir_draw(ctx, e->draw.kind, e->draw.site, part);
    }
    return e;
}

static const Expr *rewrite(Rewrite *r, const Expr *e) {
    if (!may_change(r, e)) return e;
    const Expr *known = *ir_memo(r->ctx, r->done, e);
    if (known) return known;
    const Expr *changed = r->change(r->data, e);
    if (!changed) changed = rewrite_children(r, e);
    *ir_memo(r->ctx, r->done, e) = changed;
    return changed;
}

static const Expr *rewrite_all(Ctx *ctx, const Expr *e, Rewrite r) {
    if (!may_change(&r, e)) return e;
    r.ctx = ctx;
    r.done = ir_memo_begin(ctx);
    const Expr *result = rewrite(&r, e);
    ir_memo_end(ctx, r.done);
    return result;
}

const Expr *ir_rewrite(Ctx *ctx, const Expr *e, const Expr *(*change)(void *data, const Expr *e),
                       void *data) {
    Rewrite r = {.change = change, .data = data, .all = true};
    return rewrite_all(ctx, e, r);
}

const Expr *ir_rewrite_reads(Ctx *ctx, const Expr *e,
                             const Expr *(*change)(void *data, const Expr *e), void *data) {
    Rewrite r = {.change = change, .data = data, .has = HAS_READ};
    return rewrite_all(ctx, e, r);
}

typedef struct Substitution {
    Ctx *ctx;
    const Map *replacements;
} Substitution;

/* Bound indices are objects of their own: no replacement can capture one, as long as an index is
 * not bound inside an expression that is substituted for another. */
static const Expr *replace_index(void *data, const Expr *e) {
    Substitution *s = data;
    if (e->kind != EX_INDEX) return NULL;
    return map_get(s->replacements, e->index);
}

const Expr *ir_substitute(Ctx *ctx, const Expr *e, const Map *replacements) {
    Substitution s = {ctx, replacements};
    Rewrite r = {.change = replace_index, .data = &s};
    for (uint32_t i = 0; i < replacements->len; i++) {
        const Index *index = replacements->entries[i].key;
        r.indices |= (uint64_t)1 << index->id % 64;
    }
    return rewrite_all(ctx, e, r);
}

int64_t tensor_elements(const Tensor *tensor, int64_t batch) {
    int64_t n = 1;
    for (uint32_t d = 0; d < tensor->rank; d++)
        n = ir_saturating_mul(n, tensor->dims[d] == EXTENT_BATCH ? batch : tensor->dims[d]);
    return n;
}
