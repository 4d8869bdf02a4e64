/* ir/normalize.c: the passes that bring a module to normal form, until nothing changes.
 *
 * in:   any module      out: one in which each equation is elementwise or one reduction, no two are
 * equal, all are needed, and each stands behind those it reads
 * A pass may undo the normal form of what an earlier one left (a factor that turns out to be a
 * number leaves a product around a sum), hence the rounds.
 */
#include "ir/passes.h"
#include "ir/private.h"

enum { MAX_ROUNDS = 12 };

/* ---- what is needed ---- */

typedef struct Needed {
    Ctx *ctx;
    const Module *m;
    bool *tensors;                 /* by id */
    Vec(const Equation *) waiting; /* needed, and not yet looked at */
} Needed;

static void need(Needed *n, Tensor *tensor) {
    if (!tensor || n->tensors[tensor->id]) return;
    n->tensors[tensor->id] = true;
    Equation *definition = ir_definition(n->m, tensor);
    if (definition) vec_push(n->ctx->scratch, &n->waiting, definition);
}

static const bool *needed_tensors(Ctx *ctx, const Module *m) {
    Needed n = {.ctx = ctx, .m = m};
    n.tensors = ARENA_ARRAY(ctx->scratch, bool, ir_context(ctx)->next_tensor);
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
        const Reads *reads = ir_reads(ctx, equation->body);
        for (uint32_t i = 0; i < reads->len; i++) need(&n, reads->at[i]->read.tensor);
    }
    return n.tensors;
}

void ir_find_definitions(Ctx *ctx, Module *m) {
    map_clear(&m->definitions);
    for (uint32_t i = 0; i < m->equations.len; i++)
        map_set(ctx->arena, &m->definitions, m->equations.at[i]->result, m->equations.at[i]);
}

void ir_prune(Ctx *ctx, Module *m) {
    ArenaMark mark = arena_mark(ctx->scratch);
    const bool *needed = needed_tensors(ctx, m);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->equations.len; i++) {
        Equation *equation = m->equations.at[i];
        if (needed[equation->result->id]) m->equations.at[kept++] = equation;
    }
    m->equations.len = kept;
    ir_find_definitions(ctx, m);
    kept = 0;
    for (uint32_t i = 0; i < m->tensors.len; i++) {
        Tensor *tensor = m->tensors.at[i];
        if (tensor->kind != TENSOR_LOCAL || needed[tensor->id]) m->tensors.at[kept++] = tensor;
    }
    m->tensors.len = kept;
    arena_release(ctx->scratch, mark);
}

/* ---- rounds ---- */

typedef struct Line {
    const Tensor *result;
    const Expr *body;
} Line;
typedef Vec(Line) Lines;

static void note_lines(Ctx *ctx, const Module *m, Lines *lines) {
    lines->len = 0;
    for (uint32_t i = 0; i < m->equations.len; i++) {
        Line line = {m->equations.at[i]->result, m->equations.at[i]->body};
        vec_push(ctx->scratch, lines, line);
    }
}

static bool are_lines(const Module *m, const Lines *lines) {
    if (m->equations.len != lines->len) return false;
    for (uint32_t i = 0; i < lines->len; i++) {
        const Equation *equation = m->equations.at[i];
        if (equation->result != lines->at[i].result || equation->body != lines->at[i].body)
            return false;
    }
    return true;
}

/* Orders the equations, unless they are still those that were ordered last. */
static bool order(Ctx *ctx, Module *m, Lines *ordered) {
    if (ordered->len && are_lines(m, ordered)) return true;
    if (!ir_order(ctx, m)) return false;
    note_lines(ctx, m, ordered);
    return true;
}

static void run_rounds(Ctx *ctx, Module *m) {
    Lines ordered = {0}, before = {0};
    ir_prune(ctx, m);
    if (!order(ctx, m, &ordered)) return;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        note_lines(ctx, m, &before);
        ir_shorten_conditions(ctx, m);
        ir_hoist(ctx, m);
        if (diag_failed(ctx) || !order(ctx, m, &ordered)) return;
        ir_make_contractions(ctx, m);
        ir_split_phases(ctx, m);
        if (!order(ctx, m, &ordered)) return;
        ir_merge(ctx, m);
        ir_prune(ctx, m);
        if (!order(ctx, m, &ordered) || are_lines(m, &before)) return;
    }
}

void ir_normalize(Ctx *ctx, Module *m) {
    ArenaMark mark = arena_mark(ctx->scratch);
    run_rounds(ctx, m);
    arena_release(ctx->scratch, mark);
}
