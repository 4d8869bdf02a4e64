/* ir/verify.c: asserts what ir.h promises of a module.
 *
 * in:   a module, in normal form or not      out: nothing, or DLC_BUG at the first broken promise
 */
#include "ir/passes.h"

typedef struct Verify {
    Ctx *ctx;
    const Module *m;
    const Equation *equation;
    Map tensors; /* Tensor* → itself: all of the module */
    Map before;  /* Tensor* → itself: defined by an equation that stands before this one */
    bool normal;
} Verify;

#define REQUIRE(v, condition)                                                                      \
    DLC_ASSERT((v)->ctx, condition, (v)->equation ? (v)->equation->span : ((Span){0, 0}))

/* ---- single nodes: what holds wherever they stand ---- */

static bool is_atom(const Expr *e) {
    if (e->type != TY_INT) return false;
    return e->kind == EX_INDEX || e->kind == EX_FLOORDIV || e->kind == EX_MOD ||
           e->kind == EX_READ || e->kind == EX_OP || e->kind == EX_REDUCE;
}

static void verify_affine(const Verify *v, const Expr *e) {
    REQUIRE(v, e->type == TY_INT);
    for (uint32_t i = 0; i < e->affine.nterms; i++) {
        const Term *term = &e->affine.terms[i];
        REQUIRE(v, term->coefficient != 0);
        REQUIRE(v, is_atom(term->atom));
        REQUIRE(v, i == 0 || e->affine.terms[i - 1].atom->id < term->atom->id);
    }
}

static void verify_op(const Verify *v, const Expr *e) {
    const Expr *const *args = e->op.args;
    Op op = e->op.op;
    REQUIRE(v, e->op.nargs == op_arity(op));
    if (op == OP_SELECT) REQUIRE(v, args[0]->type == TY_BOOL && args[1]->type == args[2]->type);
    if (op >= OP_AND && op <= OP_NOT) {
        for (uint32_t i = 0; i < e->op.nargs; i++) REQUIRE(v, args[i]->type == TY_BOOL);
        return;
    }
    if (e->op.nargs == 2) REQUIRE(v, args[0]->type == args[1]->type);
    bool arithmetic = op < OP_EQ && e->type != TY_BOOL;
    for (uint32_t i = 0; arithmetic && i < e->op.nargs; i++) REQUIRE(v, args[i]->type == e->type);
    if (e->type == TY_INT)
        REQUIRE(v, op == OP_MAX || op == OP_MIN || op == OP_SELECT || op == OP_STOP);
}

static void verify_read(const Verify *v, const Expr *e) {
    const Tensor *tensor = e->read.tensor;
    REQUIRE(v, map_has(&v->tensors, tensor));
    REQUIRE(v, e->type == (tensor->classes ? TY_INT : TY_REAL));
    for (uint32_t d = 0; d < tensor->rank; d++) REQUIRE(v, e->read.subs[d]->kind == EX_AFFINE);
    if (e->read.otherwise) REQUIRE(v, e->read.otherwise->type == e->type);
}

static void verify_over(const Verify *v, Index *const *over, uint32_t nover) {
    REQUIRE(v, nover > 0);
    for (uint32_t i = 0; i < nover; i++)
        for (uint32_t k = 0; k < i; k++) REQUIRE(v, over[i] != over[k]);
}

static void verify_contract(const Verify *v, const Expr *e) {
    REQUIRE(v, e->contract.nfactors >= 2);
    verify_over(v, e->contract.over, e->contract.nover);
    for (uint32_t i = 0; i < e->contract.nfactors; i++) {
        const Expr *factor = e->contract.factors[i];
        REQUIRE(v, factor->kind == EX_READ && factor->type == TY_REAL);
        REQUIRE(v, i == 0 || e->contract.factors[i - 1]->id <= factor->id);
    }
}

static void verify_node(void *data, const Expr *e) {
    const Verify *v = data;
    switch (e->kind) {
    case EX_AFFINE: verify_affine(v, e); return;
    case EX_FLOORDIV:
    case EX_MOD: REQUIRE(v, e->div.den > 1 && e->div.num->kind == EX_AFFINE); return;
    case EX_REAL: REQUIRE(v, e->integer->kind == EX_AFFINE && e->type == TY_REAL); return;
    case EX_OP: verify_op(v, e); return;
    case EX_READ: verify_read(v, e); return;
    case EX_REDUCE:
        verify_over(v, e->reduce.over, e->reduce.nover);
        REQUIRE(v, e->type == (e->reduce.op >= REDUCE_ARGMAX ? TY_INT : TY_REAL));
        REQUIRE(v, e->reduce.body->type == TY_REAL);
        return;
    case EX_CONTRACT: verify_contract(v, e); return;
    case EX_DRAW: REQUIRE(v, e->draw.counter->kind == EX_AFFINE); return;
    case EX_NUMBER:
    case EX_TRUTH:
    case EX_INDEX:
    case EX_STEP:
    case EX_BATCH: return;
    }
}

/* ---- scopes: every index is bound around the places that use it, and once on each way ---- */

typedef struct Scopes {
    Verify *v;
    Map free; /* const Expr* → Indices*: what a node needs from around it */
    Indices *into;
    Index *const *but; /* indices bound by the node at hand */
    uint32_t nbut;
} Scopes;

static bool is_among(Index *const *list, uint32_t n, const Index *index) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == index) return true;
    return false;
}

static void gather_child(void *data, const Expr *child) {
    Scopes *s = data;
    const Indices *free = map_get(&s->free, child);
    for (uint32_t i = 0; i < free->len; i++) {
        Index *index = free->at[i];
        if (is_among(s->but, s->nbut, index)) continue;
        if (!is_among(s->into->at, s->into->len, index)) vec_push(s->v->ctx->arena, s->into, index);
    }
}

static void gather_free(void *data, const Expr *e) {
    Scopes *s = data;
    s->into = ARENA_NEW(s->v->ctx->arena, Indices);
    s->nbut = 0;
    if (e->kind == EX_INDEX) vec_push(s->v->ctx->arena, s->into, e->index);
    if (e->kind == EX_REDUCE) s->but = e->reduce.over, s->nbut = e->reduce.nover;
    if (e->kind == EX_CONTRACT) s->but = e->contract.over, s->nbut = e->contract.nover;
    for (uint32_t i = 0; i < s->nbut; i++)
        REQUIRE(s->v, s->but[i]->extent >= 0 || s->but[i]->extent == EXTENT_BATCH);
    ir_each_child(e, gather_child, s);
    map_set(s->v->ctx->arena, &s->free, e, s->into);
}

static void verify_not_bound(void *data, const Expr *e) {
    Scopes *s = data;
    if (!ir_is_reduction(e)) return;
    Index *const *over = e->kind == EX_REDUCE ? e->reduce.over : e->contract.over;
    uint32_t n = e->kind == EX_REDUCE ? e->reduce.nover : e->contract.nover;
    for (uint32_t i = 0; i < n; i++) REQUIRE(s->v, !is_among(s->but, s->nbut, over[i]));
}

static void verify_rebinding(void *data, const Expr *e) {
    Scopes *s = data;
    if (e->kind != EX_REDUCE) return; /* nothing is bound inside a contraction */
    s->but = e->reduce.over, s->nbut = e->reduce.nover;
    ir_visit(s->v->ctx, e->reduce.body, verify_not_bound, s);
}

static void verify_scopes(Verify *v) {
    const Equation *equation = v->equation;
    uint32_t rank = equation->result->rank;
    Scopes s = {.v = v};
    ir_visit(v->ctx, equation->body, gather_free, &s);
    const Indices *free = map_get(&s.free, equation->body);
    for (uint32_t i = 0; i < free->len; i++)
        REQUIRE(v, is_among(equation->free, rank, free->at[i]));
    for (uint32_t i = 0; i < rank; i++) REQUIRE(v, !is_among(equation->free, i, equation->free[i]));
    ir_visit(v->ctx, equation->body, verify_rebinding, &s);
    s.but = equation->free, s.nbut = rank;
    ir_visit(v->ctx, equation->body, verify_not_bound, &s);
}

/* ---- reads ---- */

static void verify_inside(const Verify *v, const Expr *read, const Path *path) {
    uint32_t nknown = 0;
    const Expr **known = ir_path_known(v->ctx, path, &nknown);
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        if (ir_inside(v->ctx, read->read.subs[d], read->read.tensor->dims[d], known, nknown))
            continue;
        Text text = text_new(v->ctx->arena);
        ir_print_expr(&text, read);
        DLC_BUG(v->ctx, v->equation->span, "`%s` in `%s` may lie outside and has no `else`",
                text_string(&text), v->equation->result->name);
    }
}

/* Locals are defined by an equation that stands before, or by one of the same recurrence; a
 * gradient may still be without one. */
static void verify_defined(const Verify *v, const Tensor *tensor) {
    if (tensor->kind != TENSOR_LOCAL) return;
    const Equation *definition = ir_definition(v->m, tensor);
    if (!definition) {
        bool declared = false;
        for (uint32_t i = 0; i < v->m->gradients.len; i++)
            if (v->m->gradients.entries[i].value == tensor) declared = true;
        for (uint32_t i = 0; i < v->m->derivatives.len; i++)
            if (v->m->derivatives.at[i].result == tensor) declared = true;
        REQUIRE(v, declared);
        return;
    }
    uint32_t group = v->equation->scan.group;
    bool same_scan = group && definition->scan.group == group;
    if (v->normal) REQUIRE(v, same_scan || map_has(&v->before, tensor));
}

static void verify_reads(const Verify *v) {
    Paths paths = ir_paths(v->ctx, v->equation->body);
    for (uint32_t i = 0; i < paths.all.len; i++) {
        const Expr *e = paths.all.at[i];
        if (e->kind != EX_READ) continue;
        verify_defined(v, e->read.tensor);
        if (!e->read.otherwise) verify_inside(v, e, paths.of[i]);
    }
}

/* ---- equations ---- */

static void count_reduction(void *data, const Expr *e) {
    if (ir_is_reduction(e)) ++*(uint32_t *)data;
}

static void verify_normal(const Verify *v) {
    const Expr *body = v->equation->body;
    uint32_t reductions = 0;
    ir_visit(v->ctx, body, count_reduction, &reductions);
    REQUIRE(v, reductions == (uint32_t)ir_is_reduction(body));
    const Scan *scan = &v->equation->scan;
    REQUIRE(v, !scan->group || scan->dim < v->equation->result->rank);
    REQUIRE(v, !scan->group || scan->direction == 1 || scan->direction == -1);
}

static void verify_equation(Verify *v, const Equation *equation) {
    const Tensor *result = equation->result;
    v->equation = equation;
    REQUIRE(v, result->kind == TENSOR_LOCAL && map_has(&v->tensors, result));
    REQUIRE(v, ir_definition(v->m, result) == equation);
    REQUIRE(v, equation->body->type == (result->classes ? TY_INT : TY_REAL));
    for (uint32_t d = 0; d < result->rank; d++)
        REQUIRE(v, equation->free[d]->extent == result->dims[d]);
    ir_visit(v->ctx, equation->body, verify_node, v);
    verify_scopes(v);
    verify_reads(v);
    if (v->normal) verify_normal(v);
}

static void verify_tensors(Verify *v) {
    Map names = {0};
    for (uint32_t i = 0; i < v->m->tensors.len; i++) {
        Tensor *tensor = v->m->tensors.at[i];
        REQUIRE(v, !map_has(&names, tensor->name));
        map_set(v->ctx->arena, &names, tensor->name, tensor);
        map_set(v->ctx->arena, &v->tensors, tensor, tensor);
        REQUIRE(v, tensor->classes >= 0);
        for (uint32_t d = 0; d < tensor->rank; d++)
            REQUIRE(v, tensor->dims[d] >= 0 || (d == 0 && tensor->dims[d] == EXTENT_BATCH));
    }
}

static bool same_shape(const Tensor *a, const Tensor *b) {
    if (a->rank != b->rank || (a->classes != 0) != (b->classes != 0)) return false;
    return a->rank == 0 || memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

static void verify_ends(Verify *v) {
    const Module *m = v->m;
    REQUIRE(v, m->max_batch >= 1);
    if (m->loss) REQUIRE(v, m->loss->rank == 0 && map_has(&v->tensors, m->loss));
    for (uint32_t i = 0; i < m->roots.len; i++)
        REQUIRE(v, map_has(&v->tensors, m->roots.at[i].tensor));
    for (uint32_t i = 0; i < m->updates.len; i++) {
        const Update *update = &m->updates.at[i];
        TensorKind kind = update->target->kind;
        REQUIRE(v, kind == TENSOR_PARAM || kind == TENSOR_STATE);
        REQUIRE(v, map_has(&v->tensors, update->value));
        REQUIRE(v, same_shape(update->target, update->value));
    }
    for (uint32_t i = 0; i < m->gradients.len; i++) {
        const Tensor *of = m->gradients.entries[i].key, *gradient = m->gradients.entries[i].value;
        REQUIRE(v, map_has(&v->tensors, gradient) && same_shape(of, gradient));
    }
}

void ir_verify(Ctx *ctx, const Module *m, bool normal_form) {
    Verify v = {.ctx = ctx, .m = m, .normal = normal_form};
    verify_tensors(&v);
    for (uint32_t i = 0; i < m->equations.len; i++) {
        Equation *equation = m->equations.at[i];
        verify_equation(&v, equation);
        map_set(ctx->arena, &v.before, equation->result, equation->result);
    }
    REQUIRE(&v, m->definitions.len == m->equations.len);
    v.equation = NULL;
    verify_ends(&v);
}
