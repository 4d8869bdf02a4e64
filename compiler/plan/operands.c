/* plan/operands.c: sums of products are given operands that a contraction can read.
 *
 * in:   nodes      out: more nodes, and contractions of them where there were none
 *
 *   - x[i + u - 1] else 0 in a contraction: x is copied into a tensor with borders, which is read
 *     without a guard: borders in storage instead of branches in loops;
 *   - sum[i] (x[b, i] - m[b]) * s[i] * w[u, i]: what depends on the same indices is multiplied
 *     first, and a contraction of two tensors is left;
 *   - h[t-1, v] else 0 in a contraction of a recurrence over t: a tensor without time that is zero
 *     at first and is overwritten at the end of each step.
 */
#include "plan/private.h"

enum { MAX_UNITS = 16, MAX_INDICES = 32 };

typedef Vec(Node *) Nodes;

/* ---- borders ---------------------------------------------------------------------------------- */

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
    Padded *padded = ARENA_NEW(ctx->arena, Padded);
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
    vec_push(ctx->arena, out, plan_add_node(p, padded->tensor, at, body, node->span));
    vec_push(ctx->arena, &p->padded, padded);
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

/* ---- products ----------------------------------------------------------------------------------
 */

/* A factor of a product and the indices of its node that it depends on, as bits. */
typedef struct Unit {
    const Expr *e;
    uint64_t indices;
} Unit;

typedef struct Product {
    Planner *p;
    Node *node;
    Index *indices[MAX_INDICES]; /* free, then over */
    uint32_t nindices;
    Unit units[MAX_UNITS];
    uint32_t nunits;
    bool fits;
} Product;

static void add_unit(Product *product, const Expr *e) {
    if (product->nunits == MAX_UNITS) {
        product->fits = false;
        return;
    }
    Unit *unit = &product->units[product->nunits++];
    *unit = (Unit){.e = e};
    for (uint32_t i = 0; i < product->nindices; i++)
        if (ir_uses_index(e, product->indices[i])) unit->indices |= (uint64_t)1 << i;
}

static void add_units(Product *product, const Expr *e) {
    Ctx *ctx = product->p->ctx;
    if (e->kind == EX_OP && e->op.op == OP_MUL) {
        add_units(product, e->op.args[0]);
        add_units(product, e->op.args[1]);
    } else if (e->kind == EX_OP && e->op.op == OP_NEG) {
        add_units(product, e->op.args[0]);
        add_unit(product, ir_number(ctx, -1));
    } else if (e->kind == EX_OP && e->op.op == OP_DIV) {
        add_units(product, e->op.args[0]);
        add_unit(product, ir_div(ctx, ir_number(ctx, 1), e->op.args[1]));
    } else {
        add_unit(product, e);
    }
}

static double points_of(const Product *product, uint64_t indices) {
    double points = 1;
    for (uint32_t i = 0; i < product->nindices; i++)
        if (indices >> i & 1) points *= plan_points(product->p, &product->indices[i], 1);
    return points;
}

/* Elements of the largest tensor that the units within a set of indices read. */
static double largest_read(const Product *product, uint64_t within, bool inside) {
    double largest = 1;
    for (uint32_t i = 0; i < product->nunits; i++) {
        if (((product->units[i].indices & ~within) == 0) != inside) continue;
        Reads reads = {0};
        plan_expression_reads(product->p->ctx, product->units[i].e, &reads);
        for (uint32_t r = 0; r < reads.len; r++) {
            double n =
                (double)tensor_elements(reads.at[r]->read.tensor, product->p->m->max_batch);
            if (n > largest) largest = n;
        }
    }
    return largest;
}

/* The product of the units inside (outside) a set of indices, as a read: of a new tensor unless it
 * is a read already. */
static const Expr *operand(Product *product, uint64_t within, bool inside, Nodes *out) {
    Planner *p = product->p;
    Ctx *ctx = p->ctx;
    const Expr *value = ir_number(ctx, 1);
    uint64_t used = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < product->nunits; i++) {
        const Unit *unit = &product->units[i];
        if (((unit->indices & ~within) == 0) != inside) continue;
        value = ir_mul(ctx, value, unit->e);
        used |= unit->indices;
        n++;
    }
    if (n == 1 && value->kind == EX_READ && value->type == TY_REAL) return value;
    Index **at = ARENA_ARRAY(ctx->arena, Index *, MAX_INDICES);
    Index **fresh = ARENA_ARRAY(ctx->arena, Index *, MAX_INDICES);
    int64_t dims[MAX_INDICES];
    uint32_t rank = 0;
    for (int pass = 0; pass < 2; pass++) /* the batch comes first */
        for (uint32_t i = 0; i < product->nindices; i++)
            if (used >> i & 1 && (product->indices[i]->extent == EXTENT_BATCH) == (pass == 0))
                at[rank++] = product->indices[i];
    Map renamed = {0};
    for (uint32_t d = 0; d < rank; d++) {
        dims[d] = at[d]->extent;
        fresh[d] = ir_index(ctx, at[d]->name, at[d]->extent);
        map_set(ctx->arena, &renamed, at[d], (void *)ir_index_value(ctx, fresh[d]));
    }
    const char *name = arena_printf(ctx->arena, "%s.factor", product->node->result->name);
    Tensor *tensor = plan_tensor(p, name, rank, dims, 0, product->node->span);
    const Expr *body = ir_substitute(ctx, value, &renamed);
    vec_push(ctx->arena, out, plan_add_node(p, tensor, fresh, body, product->node->span));
    return ir_read_at(ctx, tensor, at);
}

/* Does splitting the product at these indices leave a contraction worth it? Both operands must be
 * much smaller than the space of all indices, and not much larger than what they are made of. */
static bool split_pays(const Product *product, uint64_t within) {
    const Node *node = product->node;
    uint64_t rest = 0, all = 0;
    for (uint32_t i = 0; i < product->nunits; i++) {
        all |= product->units[i].indices;
        if (product->units[i].indices & ~within) rest |= product->units[i].indices;
    }
    uint64_t free = ((uint64_t)1 << node->nfree) - 1;
    if (!(free & within & ~rest) || !(free & rest & ~within)) return false;
    double points = points_of(product, all);
    if (points_of(product, within) * 4 > points || points_of(product, rest) * 4 > points)
        return false;
    if (points_of(product, within) > 2 * largest_read(product, within, true)) return false;
    return points_of(product, rest) <= 2 * largest_read(product, within, false);
}

static bool has_two_maximal_sides(const Product *product, uint64_t *within) {
    for (uint32_t i = 0; i < product->nunits; i++) {
        *within = product->units[i].indices;
        if (split_pays(product, *within)) return true;
    }
    return false;
}

static void split_product(Planner *p, Node *node, Nodes *out) {
    if (node->nfactors == 2 || node->nfree + node->nover > MAX_INDICES) return;
    Product product = {.p = p, .node = node, .fits = true};
    for (uint32_t i = 0; i < node->nfree; i++)
        product.indices[product.nindices++] = node->free[i];
    for (uint32_t i = 0; i < node->nover; i++)
        product.indices[product.nindices++] = node->over[i];
    for (uint32_t i = 0; i < node->nfactors; i++) add_unit(&product, node->factors[i]);
    if (node->body) add_units(&product, node->body);
    uint64_t within;
    if (!product.fits || !has_two_maximal_sides(&product, &within)) return;
    const Expr **factors = ARENA_ARRAY(p->ctx->arena, const Expr *, 2);
    factors[0] = operand(&product, within, true, out);
    factors[1] = operand(&product, within, false, out);
    node->body = NULL;
    node->factors = factors;
    node->nfactors = 2;
}

/* ---- recurrences ------------------------------------------------------------------------------ */

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
    map_set(ctx->arena, &p->target_of, tensor, node);
    vec_push(ctx->arena, &carries->before, zero);
    vec_push(ctx->arena, &carries->after, node);
    vec_push(ctx->arena, &carries->all, ((Carry){of, tensor}));
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

/* ---- the pass --------------------------------------------------------------------------------- */

static void push_all(Planner *p, Nodes *to, const Nodes *from) {
    for (uint32_t i = 0; i < from->len; i++) vec_push(p->ctx->arena, to, from->at[i]);
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
    for (uint32_t i = first; i < end; i++) vec_push(p->ctx->arena, out, p->nodes.at[i]);
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
        if (node->reduces && node->op == REDUCE_SUM) split_product(p, node, &out);
        for (uint32_t f = 0; f < node->nfactors; f++)
            if (node->factors[f]->read.otherwise)
                node->factors[f] = without_guard(p, node, node->factors[f], &out);
        vec_push(p->ctx->arena, &out, node);
        i++;
    }
    p->nodes.len = 0;
    for (uint32_t i = 0; i < out.len; i++) vec_push(p->ctx->arena, &p->nodes, out.at[i]);
    plan_uses(p);
}
