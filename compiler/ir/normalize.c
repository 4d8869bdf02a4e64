/* ir/normalize.c: the passes that bring a module to normal form, until nothing changes.
 *
 * in:   any module      out: one in which each equation is elementwise or one reduction, no two are
 * equal, all are needed, and each stands behind those it reads
 * A pass may undo the normal form of what an earlier one left (a factor that turns out to be a
 * number leaves a product around a sum), hence the rounds.
 */
#include "ir/passes.h"

enum { MAX_ROUNDS = 12 };

/* ---- what is needed ---- */

typedef struct Needed {
    Ctx *ctx;
    const Module *m;
    Map tensors;
    Vec(const Equation *) waiting; /* needed, and not yet looked at */
} Needed;

static void need(Needed *n, Tensor *tensor) {
    if (!tensor || map_has(&n->tensors, tensor)) return;
    map_set(n->ctx->arena, &n->tensors, tensor, tensor);
    Equation *definition = ir_definition(n->m, tensor);
    if (definition) vec_push(n->ctx->arena, &n->waiting, definition);
}

static void need_read(void *data, const Expr *e) {
    if (e->kind == EX_READ) need(data, e->read.tensor);
}

static Map needed_tensors(Ctx *ctx, const Module *m) {
    Needed n = {.ctx = ctx, .m = m};
    need(&n, m->loss);
    for (uint32_t i = 0; i < m->roots.len; i++) need(&n, m->roots.at[i].tensor);
    for (uint32_t i = 0; i < m->updates.len; i++) need(&n, m->updates.at[i].value);
    for (uint32_t i = 0; i < m->gradients.len; i++) need(&n, m->gradients.entries[i].value);
    for (uint32_t i = 0; i < m->derivatives.len; i++) {
        need(&n, m->derivatives.at[i].of);
        need(&n, m->derivatives.at[i].by);
        need(&n, m->derivatives.at[i].result);
    }
    while (n.waiting.len) {
        const Equation *equation = n.waiting.at[--n.waiting.len];
        ir_visit(ctx, equation->body, need_read, &n);
    }
    return n.tensors;
}

void ir_prune(Ctx *ctx, Module *m) {
    Map needed = needed_tensors(ctx, m), definitions = {0};
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->equations.len; i++) {
        Equation *equation = m->equations.at[i];
        if (!map_has(&needed, equation->result)) continue;
        m->equations.at[kept++] = equation;
        map_set(ctx->arena, &definitions, equation->result, equation);
    }
    m->equations.len = kept;
    m->definitions = definitions;
    kept = 0;
    for (uint32_t i = 0; i < m->tensors.len; i++) {
        Tensor *tensor = m->tensors.at[i];
        if (tensor->kind != TENSOR_LOCAL || map_has(&needed, tensor))
            m->tensors.at[kept++] = tensor;
    }
    m->tensors.len = kept;
}

/* ---- rounds ---- */

typedef struct Line {
    const Tensor *result;
    const Expr *body;
} Line;
typedef Vec(Line) Lines;

static Lines lines_of(Ctx *ctx, const Module *m) {
    Lines lines = {0};
    for (uint32_t i = 0; i < m->equations.len; i++) {
        Line line = {m->equations.at[i]->result, m->equations.at[i]->body};
        vec_push(ctx->arena, &lines, line);
    }
    return lines;
}

static bool same_lines(const Lines *a, const Lines *b) {
    if (a->len != b->len) return false;
    for (uint32_t i = 0; i < a->len; i++)
        if (a->at[i].result != b->at[i].result || a->at[i].body != b->at[i].body) return false;
    return true;
}

void ir_normalize(Ctx *ctx, Module *m) {
    ir_prune(ctx, m);
    if (!ir_order(ctx, m)) return;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        Lines before = lines_of(ctx, m);
        ir_shorten_conditions(ctx, m);
        ir_hoist(ctx, m);
        if (diag_failed(ctx) || !ir_order(ctx, m)) return;
        ir_make_contractions(ctx, m);
        ir_split_phases(ctx, m);
        if (!ir_order(ctx, m)) return;
        ir_merge(ctx, m);
        ir_prune(ctx, m);
        if (!ir_order(ctx, m)) return;
        Lines after = lines_of(ctx, m);
        if (same_lines(&before, &after)) return;
    }
}
