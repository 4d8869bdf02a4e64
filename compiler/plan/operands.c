/* plan/operands.c: contractions are given operands that their generator can read.
 *
 * in:   nodes      out: more nodes, and contractions that read without a guard
 *
 *   - x[i + u - 1] else 0 in a contraction: x is copied into a tensor with borders, which is read
 *     without a guard: borders in storage instead of branches in loops;
 *   - h[t-1, v] else 0 in a contraction of a recurrence over t: a tensor without time that is zero
 *     at first and is overwritten at the end of each step.
 */
#include "plan/private.h"

typedef Vec(Node *) Nodes;

/* ---- borders ----------------------------------------------------------------------------------
 */

/* Where each dimension of a copy with borders begins and how long it is. False when the read
 * cannot have one. */
static bool find_borders(Ctx *ctx, const Expr *read, int64_t *low, int64_t *dims) {
    const Tensor *tensor = read->read.tensor;
    if (read->read.otherwise->kind != EX_NUMBER) return false;
    double size = 1, before = 1;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++)
            if (sub->affine.terms[t].atom->kind != EX_INDEX) return false;
        low[d] = 0;
        dims[d] = tensor->dims[d];
        if (!ir_inside(ctx, sub, tensor->dims[d], NULL, 0)) {
            int64_t high;
            ir_bounds(sub, &low[d], &high);
            if (tensor->dims[d] == EXTENT_BATCH || high == IR_UNBOUNDED) return false;
            if (low[d] == -IR_UNBOUNDED || low[d] == INT64_MIN) return false;
            dims[d] = high - low[d] + 1;
        }
        if (dims[d] == EXTENT_BATCH) continue;
        size *= (double)dims[d];
        before *= (double)tensor->dims[d];
    }
    return size <= 8 * before + 1024;
}

static Padded *padded_tensor(Planner *p, Node *node, const Expr *read, const int64_t *low,
                             const int64_t *dims, Nodes *out) {
    Ctx *ctx = p->ctx;
    Tensor *from = read->read.tensor;
    size_t bytes = from->rank * sizeof *low;
    for (uint32_t i = 0; i < p->padded.len; i++) {
        Padded *known = p->padded.at[i];
        if (known->from == from && known->otherwise == read->read.otherwise &&
            memcmp(known->low, low, bytes) == 0 && memcmp(known->tensor->dims, dims, bytes) == 0)
            return known;
    }
    Padded *padded = ARENA_NEW(ctx->scratch, Padded);
    padded->from = from;
    padded->otherwise = read->read.otherwise;
    padded->low = arena_copy(ctx->arena, low, bytes);
    padded->tensor = plan_tensor(p, arena_printf(ctx->arena, "%s.padded", from->name), from->rank,
                                 dims, 0, node->span);
    Index **at = ir_free_indices(ctx, padded->tensor, NULL);
    const Expr **subs = ARENA_ARRAY(ctx->arena, const Expr *, from->rank);
    for (uint32_t d = 0; d < from->rank; d++)
        subs[d] = ir_int_add(ctx, ir_index_value(ctx, at[d]), ir_int(ctx, low[d]));
    const Expr *body = ir_read(ctx, from, subs, padded->otherwise);
    vec_push(ctx->scratch, out, plan_add_node(p, padded->tensor, at, body, node->span));
    vec_push(ctx->scratch, &p->padded, padded);
    return padded;
}

static const Expr *without_guard(Planner *p, Node *node, const Expr *read, Nodes *out) {
    Ctx *ctx = p->ctx;
    uint32_t rank = read->read.tensor->rank;
    int64_t *low = ARENA_ARRAY(ctx->arena, int64_t, rank + 1);
    int64_t *dims = ARENA_ARRAY(ctx->arena, int64_t, rank + 1);
    if (!find_borders(ctx, read, low, dims)) return read;
    Padded *padded = padded_tensor(p, node, read, low, dims, out);
    const Expr **subs = ARENA_ARRAY(ctx->arena, const Expr *, rank);
    for (uint32_t d = 0; d < rank; d++)
        subs[d] = ir_int_sub(ctx, read->read.subs[d], ir_int(ctx, low[d]));
    return ir_read(ctx, padded->tensor, subs, NULL);
}

/* ---- recurrences ------------------------------------------------------------------------------
 */

typedef struct Carry {
    const Tensor *of;
    Tensor *tensor;
} Carry;

typedef struct Carries {
    Vec(Carry) all;
    Nodes before, after; /* of the recurrence */
} Carries;

/* tensor[.., t - direction, ..] else 0, everything else in range? */
static bool reads_previous(Ctx *ctx, const Node *node, const Node *definition, const Expr *read) {
    if (!read->read.otherwise || !ir_is_number(read->read.otherwise, 0)) return false;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++)
            if (sub->affine.terms[t].atom->kind != EX_INDEX) return false;
        if (d != definition->scan.dim) {
            if (!ir_inside(ctx, sub, read->read.tensor->dims[d], NULL, 0)) return false;
            continue;
        }
        const Expr *time = ir_index_value(ctx, node->time);
        if (sub != ir_int_sub(ctx, time, ir_int(ctx, definition->scan.direction))) return false;
    }
    return true;
}

static Tensor *carried(Planner *p, const Node *definition, Carries *carries) {
    Ctx *ctx = p->ctx;
    for (uint32_t i = 0; i < carries->all.len; i++)
        if (carries->all.at[i].of == definition->result) return carries->all.at[i].tensor;
    const Tensor *of = definition->result;
    int64_t *dims = ARENA_ARRAY(ctx->arena, int64_t, of->rank);
    uint32_t rank = 0;
    for (uint32_t d = 0; d < of->rank; d++)
        if (d != definition->scan.dim) dims[rank++] = of->dims[d];
    Tensor *tensor = plan_tensor(p, arena_printf(ctx->arena, "%s.before", of->name), rank, dims, 0,
                                 definition->span);
    Tensor *next = plan_tensor(p, arena_printf(ctx->arena, "%s.carried", of->name), rank, dims, 0,
                               definition->span);
    Node *zero = plan_add_node(p, tensor, ir_free_indices(ctx, tensor, NULL), ir_number(ctx, 0),
                               definition->span);
    zero->is_pinned = true;

    Index **at = ir_free_indices(ctx, next, NULL);
    Index **from = ARENA_ARRAY(ctx->arena, Index *, of->rank);
    Index *time = ir_index(ctx, definition->time->name, definition->time->extent);
    for (uint32_t d = 0, n = 0; d < of->rank; d++)
        from[d] = d == definition->scan.dim ? time : at[n++];
    const Expr *body = ir_read_at(ctx, definition->result, from);
    Node *node = plan_add_node(p, next, at, body, definition->span);
    node->scan = definition->scan;
    node->scan.dim = UINT32_MAX;
    node->time = time;
    node->target = tensor;
    node->is_pinned = true;
    map_set(ctx->scratch, &p->target_of, tensor, node);
    vec_push(ctx->scratch, &carries->before, zero);
    vec_push(ctx->scratch, &carries->after, node);
    vec_push(ctx->scratch, &carries->all, ((Carry){of, tensor}));
    return tensor;
}

static const Expr *without_time(Planner *p, const Node *node, const Expr *read, Carries *carries) {
    Node *definition = map_get(&p->node_of, read->read.tensor);
    if (!definition || definition->scan.group != node->scan.group) return read;
    if (!reads_previous(p->ctx, node, definition, read)) return read;
    Tensor *tensor = carried(p, definition, carries);
    const Expr **subs = ARENA_ARRAY(p->ctx->arena, const Expr *, tensor->rank + 1);
    for (uint32_t d = 0, n = 0; d < read->read.tensor->rank; d++)
        if (d != definition->scan.dim) subs[n++] = read->read.subs[d];
    return ir_read(p->ctx, tensor, subs, NULL);
}

/* ---- the pass ---------------------------------------------------------------------------------
 */

static void push_all(Planner *p, Nodes *to, const Nodes *from) {
    for (uint32_t i = 0; i < from->len; i++) vec_push(p->ctx->scratch, to, from->at[i]);
}

static uint32_t recurrence(Planner *p, uint32_t first, Nodes *out) {
    uint32_t end = first, group = p->nodes.at[first]->scan.group;
    Carries carries = {0};
    while (end < p->nodes.len && p->nodes.at[end]->scan.group == group) end++;
    for (uint32_t i = first; i < end; i++) {
        Node *node = p->nodes.at[i];
        for (uint32_t f = 0; f < node->nfactors; f++)
            node->factors[f] = without_time(p, node, node->factors[f], &carries);
    }
    push_all(p, out, &carries.before);
    for (uint32_t i = first; i < end; i++) vec_push(p->ctx->scratch, out, p->nodes.at[i]);
    push_all(p, out, &carries.after);
    return end;
}

void plan_operands(Planner *p) {
    Nodes out = {0};
    for (uint32_t i = 0; i < p->nodes.len;) {
        Node *node = p->nodes.at[i];
        if (node->scan.group) {
            i = recurrence(p, i, &out);
            continue;
        }
        for (uint32_t f = 0; f < node->nfactors; f++)
            if (node->factors[f]->read.otherwise)
                node->factors[f] = without_guard(p, node, node->factors[f], &out);
        vec_push(p->ctx->scratch, &out, node);
        i++;
    }
    p->nodes.len = 0;
    for (uint32_t i = 0; i < out.len; i++) vec_push(p->ctx->scratch, &p->nodes, out.at[i]);
    plan_uses(p);
}
