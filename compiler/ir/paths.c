/* ir/paths.c: expressions seen as graphs: children, free indices, conditions on the way. */
#include "ir/passes.h"

void ir_each_child(const Expr *e, void (*visit)(void *data, const Expr *child), void *data) {
    switch (e->kind) {
    case EX_AFFINE:
        for (uint32_t t = 0; t < e->affine.nterms; t++) visit(data, e->affine.terms[t].atom);
        return;
    case EX_FLOORDIV:
    case EX_MOD: visit(data, e->div.num); return;
    case EX_REAL: visit(data, e->integer); return;
    case EX_OP:
        for (uint32_t i = 0; i < e->op.nargs; i++) visit(data, e->op.args[i]);
        return;
    case EX_READ:
        for (uint32_t d = 0; d < e->read.tensor->rank; d++) visit(data, e->read.subs[d]);
        if (e->read.otherwise) visit(data, e->read.otherwise);
        return;
    case EX_REDUCE: visit(data, e->reduce.body); return;
    case EX_CONTRACT:
        for (uint32_t i = 0; i < e->contract.nfactors; i++) visit(data, e->contract.factors[i]);
        return;
    case EX_DRAW: visit(data, e->draw.counter); return;
    case EX_NUMBER:
    case EX_TRUTH:
    case EX_INDEX:
    case EX_STEP:
    case EX_BATCH: return;
    }
}

bool ir_is_reduction(const Expr *e) {
    return e->kind == EX_REDUCE || e->kind == EX_CONTRACT;
}

const Expr *ir_unwrap(const Expr *e) {
    bool bare = e->kind == EX_AFFINE && e->affine.offset == 0 && e->affine.nterms == 1 &&
                e->affine.terms[0].coefficient == 1;
    return bare ? e->affine.terms[0].atom : e;
}

/* ---- free indices ---- */

bool ir_is_among(const Indices *set, const Index *index) {
    for (uint32_t i = 0; i < set->len; i++)
        if (set->at[i] == index) return true;
    return false;
}

typedef struct Occurrences {
    Ctx *ctx;
    Indices bound, seen;
} Occurrences;

static void note_index(void *data, const Expr *e) {
    Occurrences *o = data;
    Index *const *over = NULL;
    uint32_t nover = 0;
    if (e->kind == EX_INDEX) vec_push(o->ctx->arena, &o->seen, e->index);
    if (e->kind == EX_REDUCE) over = e->reduce.over, nover = e->reduce.nover;
    if (e->kind == EX_CONTRACT) over = e->contract.over, nover = e->contract.nover;
    for (uint32_t i = 0; i < nover; i++) vec_push(o->ctx->arena, &o->bound, over[i]);
}

Indices ir_free_of(Ctx *ctx, const Expr *e) {
    Occurrences o = {.ctx = ctx};
    if (e->indices) ir_visit(ctx, e, note_index, &o);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < o.seen.len; i++)
        if (!ir_is_among(&o.bound, o.seen.at[i])) o.seen.at[kept++] = o.seen.at[i];
    o.seen.len = kept;
    return o.seen;
}

/* ---- conditions ---- */

typedef struct Walk {
    Ctx *ctx;
    Paths *paths;
    bool *reached;
    const Path *path; /* of the node whose children are visited */
} Walk;

static void note_node(void *data, const Expr *e) {
    Walk *w = data;
    vec_push(w->ctx->scratch, &w->paths->all, e);
    map_set(w->ctx->scratch, &w->paths->nodes, e, (void *)(uintptr_t)w->paths->all.len);
}

static uint32_t depth(const Path *path) {
    return path ? path->depth : 0;
}

static const Path *extended(Ctx *ctx, const Path *up, const Expr *condition, bool truth) {
    Path *path = ARENA_NEW(ctx->scratch, Path);
    *path = (Path){up, condition, truth, depth(up) + 1};
    return path;
}

static bool has_condition(const Path *path, const Path *like) {
    for (; path; path = path->up)
        if (path->condition == like->condition && path->truth == like->truth) return true;
    return false;
}

/* The conditions of a that b has as well. */
static const Path *common(Ctx *ctx, const Path *a, const Path *b) {
    if (a == b || !a || !b) return a == b ? a : NULL;
    const Path *up = common(ctx, a->up, b);
    if (!has_condition(b, a)) return up;
    return up == a->up ? a : extended(ctx, up, a->condition, a->truth);
}

static void reach(void *data, const Expr *child) {
    Walk *w = data;
    uint32_t number = (uint32_t)(uintptr_t)map_get(&w->paths->nodes, child) - 1;
    const Path **of = &w->paths->of[number];
    *of = w->reached[number] ? common(w->ctx, *of, w->path) : w->path;
    w->reached[number] = true;
}

Paths ir_paths(Ctx *ctx, const Expr *root) {
    Paths paths = {0};
    Walk w = {.ctx = ctx, .paths = &paths};
    ir_visit(ctx, root, note_node, &w);
    paths.of = ARENA_ARRAY(ctx->scratch, const Path *, paths.all.len + 1);
    w.reached = ARENA_ARRAY(ctx->scratch, bool, paths.all.len + 1);
    for (uint32_t i = paths.all.len; i-- > 0;) {
        const Expr *e = paths.all.at[i];
        const Path *own = paths.of[i];
        w.path = own;
        if (e->kind != EX_OP || e->op.op != OP_SELECT) {
            ir_each_child(e, reach, &w);
            continue;
        }
        reach(&w, e->op.args[0]);
        for (uint32_t a = 1; a < 3; a++) {
            w.path = extended(ctx, own, e->op.args[0], a == 1);
            reach(&w, e->op.args[a]);
        }
    }
    return paths;
}

const Path *ir_path_of(const Paths *paths, const Expr *e) {
    uintptr_t number = (uintptr_t)map_get(&paths->nodes, e);
    return number ? paths->of[number - 1] : NULL;
}

const Expr **ir_path_known(Ctx *ctx, const Path *path, uint32_t *count) {
    const Expr **known = ARENA_ARRAY(ctx->scratch, const Expr *, depth(path) + 1);
    *count = 0;
    for (; path; path = path->up)
        known[(*count)++] = path->truth ? path->condition : ir_op1(ctx, OP_NOT, path->condition);
    return known;
}

/* ---- reads that rely on conditions from outside ---- */

typedef struct Protection {
    Ctx *ctx;
    Map unsafe; /* reads */
} Protection;

static bool is_safe(Ctx *ctx, const Expr *read, const Path *path) {
    uint32_t nknown = 0;
    const Expr **known = NULL;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        int64_t dim = read->read.tensor->dims[d];
        if (ir_inside(ctx, read->read.subs[d], dim, NULL, 0)) continue;
        if (!path) return false;
        if (!known) known = ir_path_known(ctx, path, &nknown);
        if (!ir_inside(ctx, read->read.subs[d], dim, known, nknown)) return false;
    }
    return true;
}

bool ir_reads_inside(Ctx *ctx, const Expr *e) {
    const Reads *reads = ir_reads(ctx, e);
    for (uint32_t i = 0; i < reads->len; i++)
        if (!reads->at[i]->read.otherwise && !is_safe(ctx, reads->at[i], NULL)) return false;
    return true;
}

static const Expr *protect_read(void *data, const Expr *e) {
    Protection *p = data;
    if (!map_has(&p->unsafe, e)) return NULL;
    const Expr **subs = ARENA_ARRAY(p->ctx->scratch, const Expr *, e->read.tensor->rank + 1);
    for (uint32_t d = 0; d < e->read.tensor->rank; d++)
        subs[d] = ir_rewrite_reads(p->ctx, e->read.subs[d], protect_read, p);
    const Expr *zero = e->type == TY_INT ? ir_int(p->ctx, 0) : ir_number(p->ctx, 0);
    return ir_read(p->ctx, e->read.tensor, subs, zero);
}

const Expr *ir_protect(Ctx *ctx, const Expr *e) {
    Protection p = {.ctx = ctx};
    const Reads *reads = ir_reads(ctx, e);
    Paths paths = {0};
    if (e->has & HAS_SELECT && reads->len) paths = ir_paths(ctx, e);
    for (uint32_t i = 0; i < reads->len; i++) {
        const Expr *read = reads->at[i];
        if (!read->read.otherwise && !is_safe(ctx, read, ir_path_of(&paths, read)))
            map_set(ctx->scratch, &p.unsafe, read, (void *)read);
    }
    return p.unsafe.len ? ir_rewrite_reads(ctx, e, protect_read, &p) : e;
}
