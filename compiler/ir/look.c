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
    Arena *arena;
    Map seen;
    void (*visit)(void *data, const Expr *e);
    void *data;
} Visit;

static void visit_one(void *data, const Expr *e) {
    Visit *v = data;
    if (map_has(&v->seen, e)) return;
    map_set(v->arena, &v->seen, e, (void *)e);
    ir_each_child(e, visit_one, v);
    v->visit(v->data, e);
}

void ir_visit(Ctx *ctx, const Expr *e, void (*visit)(void *data, const Expr *e), void *data) {
    Visit v = {.arena = ctx->arena, .visit = visit, .data = data};
    visit_one(&v, e);
}

/* A memo of fixed size that may forget: this question is asked often and of small expressions. */
enum { REMEMBERED = 128 };

typedef struct Uses {
    const Expr *seen[REMEMBERED];
    const Index *index;
    const Tensor *tensor;
    bool found;
} Uses;

static void look_for(void *data, const Expr *e) {
    Uses *u = data;
    if (u->found) return;
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
 */

typedef struct Rewrite {
    Ctx *ctx;
    Map done;
    const Expr *(*change)(void *data, const Expr *e);
    void *data;
} Rewrite;

static const Expr *rewrite(Rewrite *r, const Expr *e);

static const Expr *rewrite_affine(Rewrite *r, const Expr *e) {
    const Expr *sum = ir_int(r->ctx, e->affine.offset);
    for (uint32_t i = 0; i < e->affine.nterms; i++) {
        const Expr *atom = ir_int_atom(r->ctx, rewrite(r, e->affine.terms[i].atom));
        sum = ir_int_add(r->ctx, sum, ir_int_scale(r->ctx, atom, e->affine.terms[i].coefficient));
    }
    return sum;
}

static const Expr *rewrite_read(Rewrite *r, const Expr *e) {
    uint32_t rank = e->read.tensor->rank;
    const Expr **subs = ARENA_ARRAY(r->ctx->arena, const Expr *, rank + 1);
    for (uint32_t d = 0; d < rank; d++) subs[d] = rewrite(r, e->read.subs[d]);
    const Expr *otherwise = e->read.otherwise ? rewrite(r, e->read.otherwise) : NULL;
    return ir_read(r->ctx, e->read.tensor, subs, otherwise);
}

static const Expr *rewrite_children(Rewrite *r, const Expr *e) {
    Ctx *ctx = r->ctx;
    switch (e->kind) {
    case EX_NUMBER:
    case EX_TRUTH:
    case EX_INDEX:
    case EX_STEP:
    case EX_BATCH: return e;
    case EX_AFFINE: return rewrite_affine(r, e);
    case EX_FLOORDIV: return ir_floordiv(ctx, rewrite(r, e->div.num), e->div.den);
    case EX_MOD: return ir_mod(ctx, rewrite(r, e->div.num), e->div.den);
    case EX_REAL: return ir_real(ctx, rewrite(r, e->integer));
    case EX_OP: {
        const Expr *args[3];
        for (uint32_t i = 0; i < e->op.nargs; i++) args[i] = rewrite(r, e->op.args[i]);
        return ir_op(ctx, e->op.op, args);
    }
    case EX_READ: return rewrite_read(r, e);
    case EX_REDUCE:
        return ir_reduce(ctx, e->reduce.op, e->reduce.over, e->reduce.nover,
                         rewrite(r, e->reduce.body));
    case EX_CONTRACT: {
        const Expr *body = rewrite(r, e->contract.factors[0]);
        for (uint32_t i = 1; i < e->contract.nfactors; i++)
            body = ir_mul(ctx, body, rewrite(r, e->contract.factors[i]));
        return ir_reduce(ctx, REDUCE_SUM, e->contract.over, e->contract.nover, body);
    }
    case EX_DRAW: return ir_draw(ctx, e->draw.kind, e->draw.site, rewrite(r, e->draw.counter));
    }
    return e;
}

static const Expr *rewrite(Rewrite *r, const Expr *e) {
    const Expr *known = map_get(&r->done, e);
    if (known) return known;
    const Expr *changed = r->change(r->data, e);
    if (!changed) changed = rewrite_children(r, e);
    map_set(r->ctx->arena, &r->done, e, (void *)changed);
    return changed;
}

const Expr *ir_rewrite(Ctx *ctx, const Expr *e, const Expr *(*change)(void *data, const Expr *e),
                       void *data) {
    Rewrite r = {.ctx = ctx, .change = change, .data = data};
    return rewrite(&r, e);
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
    if (replacements->len == 0) return e;
    return ir_rewrite(ctx, e, replace_index, &s);
}

int64_t tensor_elements(const Tensor *tensor, int64_t batch) {
    int64_t n = 1;
    for (uint32_t d = 0; d < tensor->rank; d++)
        n = ir_saturating_mul(n, tensor->dims[d] == EXTENT_BATCH ? batch : tensor->dims[d]);
    return n;
}
